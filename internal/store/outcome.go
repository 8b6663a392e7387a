package store

// An Outcome says what Apply did with a record. Whatever it was, the record's
// version is covered from then on.
type Outcome uint8

const (
	outcomeApplied Outcome = iota // it is what the store holds now
	outcomeKept                   // the same version or a greater one was held
	outcomeRefused                // the key isn't held, and the floor isn't below the stamp
	outcomeCleared                // Clear isn't below the stamp
	outcomeExpired                // past its deadline: what was older is dropped
	outcomeForgot                 // a forget: what was older is dropped
	OutcomeTooBig                 // no room even if nothing else were held: what was older is dropped
)
