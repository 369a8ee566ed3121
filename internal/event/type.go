package event

// Type is what happened, as consumers subscribe to it.
type Type string
