// Package view is what a Loader sees of the cache.
//
// Its law: it only reads, and of what is held it shows a Loader just what that one can use. What is to be
// done with it the Loader's policy says.
package view
