// Package natstest has the tests of package transport/nats with real servers. They are a module of their
// own, so that who imports the transport doesn't get a server.
package natstest
