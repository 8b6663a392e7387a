// Package e2e_test looks at bcache from outside: nodes over real TCP, in this process, in processes of
// their own and in network namespaces, which are cut off, killed, frozen and restarted.
//
// Its law: it drives nodes by their exported names, as a user does. Most of it takes minutes, and needs a
// flag: -measure, -netns or -soak.
package e2e_test
