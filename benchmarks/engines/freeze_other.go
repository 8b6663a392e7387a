//go:build !unix

package engines

const canFreeze = false

func (c *child) freeze() {}
