package memberlist

import "fmt"

// AddKey has the node accept a key too. To replace the cluster's key while it runs, without losing
// anything: AddKey on all nodes, then UseKey on all nodes, then RemoveKey of the old one on all nodes. A
// node that was started without Keys can't be given one. The key is copied.
func (t *Transport) AddKey(key []byte) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("bcache: %w", err)
	}
	if !t.keys.some() {
		return errNoKeys
	}
	t.keys.insert(len(t.keys.all()), key)
	return nil
}

// UseKey has the node prove itself with a key from now on, also on the connections that there are. It must
// have been added.
func (t *Transport) UseKey(key []byte) error {
	if err := t.keys.use(key); err != nil {
		return err
	}
	for _, l := range t.roster.all() {
		l.prove()
	}
	return nil
}

// RemoveKey has the node not accept a key any more, which mustn't be the one in use. A connection with a
// node that has proved itself with no other one is cut. A key that isn't there is no error.
func (t *Transport) RemoveKey(key []byte) error {
	if err := t.keys.remove(key); err != nil {
		return err
	}
	for _, l := range t.roster.all() {
		if l.proved(key) {
			l.end(errKeyGone)
		}
	}
	return nil
}
