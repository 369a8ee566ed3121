package event

//go:generate go test -count=1 -run "^Test(Schemas|Examples|Readme)_" . -update
