// Package e2e_test looks at bcache from outside: nodes over real TCP, in this process, in processes of
// their own and in network namespaces, which are cut off, killed, frozen and restarted; nodes of two
// versions in one cluster; and what nodes of earlier releases have said. With -engine nodes in network
// namespaces run over an engine of another module.
//
// Its law: it drives nodes by their exported names, as a user does. Only what is recorded is read frame
// by frame. Most of it takes minutes, and needs a flag: -measure, -mixed, -netns or -soak.
package e2e_test
