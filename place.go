package bcache

// A place is what apply needs of a record and can have before: see approach.
type place struct {
	hash   uint64 // of the key
	bucket int    // of the key
	fresh  *entry // made of the record; nil: not yet
	found  *entry // what lay under the hash, maybe of another key: see seek
}

// ownKey returns the store's own copy of a key that was sought, if it has one, or makes a copy.
func (at *place) ownKey(key []byte) string {
	if e := at.found; e != nil && e.key == string(key) {
		return e.key
	}
	return string(key)
}
