package store

// A Place is what Apply needs of a record and can have before: see Approach.
type Place struct {
	hash   uint64 // of the key
	Bucket int    // of the key
	Fresh  *Entry // made of the record; nil: not yet
	found  *Entry // what lay under the hash, maybe of another key: see Seek
}

// OwnKey returns the store's own copy of a key that was sought, if it has one, or makes a copy.
func (at *Place) OwnKey(key []byte) string {
	if e := at.found; e != nil && e.Key == string(key) {
		return e.Key
	}
	return string(key)
}
