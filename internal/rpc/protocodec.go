package rpc

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// protoCodec is Connect's own binary codec, but that what it can not read is refused as invalid input with a reason. Unknown fields are
// accepted: that is how old servers read new clients.
type protoCodec struct{}

// Name is the codec's in content types.
func (protoCodec) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (c protoCodec) Marshal(m any) ([]byte, error) { return c.MarshalAppend(nil, m) }

// MarshalAppend lets Connect reuse its buffers.
func (protoCodec) MarshalAppend(dst []byte, m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no proto message", m)
	}
	return proto.MarshalOptions{}.MarshalAppend(dst, message)
}

// MarshalStable is for GET requests, whose addresses are keys of caches.
func (protoCodec) MarshalStable(m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no proto message", m)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(message)
}

// IsBinary tells Connect that GET requests need base64.
func (protoCodec) IsBinary() bool { return true }

// Unmarshal implements connect.Codec.
func (protoCodec) Unmarshal(b []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no proto message", m)
	}
	if err := proto.Unmarshal(b, message); err != nil {
		spoil(message, bodyField, "the protobuf body can not be read: "+clip(plain(err)))
	}
	return nil
}
