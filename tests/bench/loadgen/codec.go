package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// rawCodec sends and receives bytes as they are.
type rawCodec struct{}

// Name is the contract's encoding: the server sees ordinary messages.
func (rawCodec) Name() string { return "proto" }

// Marshal takes a []byte.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal fills a *[]byte.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// readMessages reads a file of messages, each with its length before it: four bytes, little endian.
func readMessages(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for len(data) > 0 {
		if len(data) < 4 || uint64(len(data)-4) < uint64(binary.LittleEndian.Uint32(data)) {
			return nil, fmt.Errorf("%s: message %d is cut off", path, len(messages))
		}
		size := binary.LittleEndian.Uint32(data)
		messages = append(messages, data[4:4+size])
		data = data[4+size:]
	}
	return messages, nil
}

// kindOf returns the number of a response's first field, and its content.
func kindOf(response []byte) (int, []byte) {
	number, kind, size := protowire.ConsumeTag(response)
	if size < 0 || kind != protowire.BytesType {
		return 0, nil
	}
	content, size := protowire.ConsumeBytes(response[size:])
	if size < 0 {
		return 0, nil
	}
	return int(number), content
}

// sequenceOf reads an acknowledgement's only field.
func sequenceOf(ack []byte) uint64 {
	_, kind, size := protowire.ConsumeTag(ack)
	if size < 0 || kind != protowire.VarintType {
		return 0
	}
	sequence, size := protowire.ConsumeVarint(ack[size:])
	if size < 0 {
		return 0
	}
	return sequence
}
