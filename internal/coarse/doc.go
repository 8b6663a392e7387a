// Package coarse tells readers whether a deadline lies ahead, and mostly reads no clock for that.
//
// Its law: what a [Clock] says is what the real clock says, unless the time that it has stored is older
// than Margin. While nobody asks, it has no timer, and every question goes to the real clock.
package coarse
