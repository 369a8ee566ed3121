package feed

// What tests of this package look at from outside.
const SQLPage = sqlPage

var SnapshotParams = snapshotParams
