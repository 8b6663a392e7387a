package delta

// MaxRecordSize is how many bytes a key and its value may have together.
const MaxRecordSize = 1 << 20
