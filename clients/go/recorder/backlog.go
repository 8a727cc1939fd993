package recorder

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

// backlog numbers requests and keeps each until it is acknowledged, so that it can be sent again.
//
// Its size is bounded softly: room waits while it is exceeded, and a request that has been let in is always taken.
type backlog struct {
	maxBytes int

	mu        sync.Mutex
	kept      []keptRequest // consecutive numbers from first on
	first     uint64
	sizeBytes int
	closed    bool
	changed   chan struct{} // closed at the next change; nil while nobody waits
}

type keptRequest struct {
	request   *recorderv1.RecordCallRequest
	sizeBytes int
}

// newBacklog begins after the opening request, which has number 1.
func newBacklog(maxBytes int) *backlog {
	return &backlog{maxBytes: maxBytes, first: 2}
}

// bounds gives the lowest number that is not acknowledged, and the number that the next request will have.
func (b *backlog) bounds() (first, next uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first, b.next()
}

// add numbers a request and keeps it; once closed, it drops it.
func (b *backlog) add(request *recorderv1.RecordCallRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	request.Sequence = b.next()
	size := proto.Size(request)
	b.kept = append(b.kept, keptRequest{request, size})
	b.sizeBytes += size
	b.tell()
}

// acknowledge drops everything up to and including a number.
func (b *backlog) acknowledge(sequence uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sequence < b.first {
		return
	}
	count := int(min(sequence-b.first+1, uint64(len(b.kept))))
	for _, dropped := range b.kept[:count] {
		b.sizeBytes -= dropped.sizeBytes
	}
	b.kept = slices.Delete(b.kept, 0, count)
	b.first += uint64(count)
	b.tell()
}

// close drops everything and takes nothing more: the recording has ended.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.first, b.kept, b.sizeBytes, b.closed = b.next(), nil, 0, true
	b.tell()
}

// get gives a request that is not acknowledged, waiting until it is there.
func (b *backlog) get(ctx context.Context, sequence uint64) (*recorderv1.RecordCallRequest, error) {
	var found *recorderv1.RecordCallRequest
	err := b.wait(ctx, func() bool {
		if b.first <= sequence && sequence < b.next() {
			found = b.kept[sequence-b.first].request
		}
		return found != nil
	})
	return found, err
}

// room waits until less than the limit is kept.
func (b *backlog) room(ctx context.Context) error {
	return b.wait(ctx, func() bool { return b.closed || b.sizeBytes < b.maxBytes })
}

// acknowledged waits until nothing is kept.
func (b *backlog) acknowledged(ctx context.Context) error {
	return b.wait(ctx, func() bool { return len(b.kept) == 0 })
}

func (b *backlog) next() uint64 { return b.first + uint64(len(b.kept)) }

// wait blocks until a condition, asked with the lock held, is true.
func (b *backlog) wait(ctx context.Context, condition func() bool) error {
	for {
		b.mu.Lock()
		if condition() {
			b.mu.Unlock()
			return nil
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *backlog) tell() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
