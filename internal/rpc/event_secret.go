package rpc

import (
	"regexp"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// secretive tells whether a request may hold secrets: of such a one, nothing is repeated, neither to its client nor to the log.
func secretive(m proto.Message) bool {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Kind() == protoreflect.MessageKind && (f.Message().FullName() == secretName || f.Message().FullName() == sinkName) {
			return true
		}
	}
	return false
}

// Sinks have headers and addresses, which hold secrets more often than they should.
var (
	secretName = (*ledgerv1.Secret)(nil).ProtoReflect().Descriptor().FullName()
	sinkName   = (*ledgerv1.Sink)(nil).ProtoReflect().Descriptor().FullName()
)

// A place, and the name of a field that could be one of ours.
var (
	placeOnly   = regexp.MustCompile(`^the JSON body can not be read: line \d+:\d+`)
	unknownOnly = regexp.MustCompile(`: unknown field "[a-z_]{1,24}"$`)
)

// unquoted takes out of what explainJSON says whatever was in the body.
func unquoted(text string) string {
	where := placeOnly.FindString(text)
	if where == "" {
		return "the JSON body can not be read"
	}
	return where + unknownOnly.FindString(text)
}
