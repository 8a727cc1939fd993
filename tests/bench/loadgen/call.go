package main

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// The golden ratio spreads the calls' messages evenly over the interval, whatever the spacing of the calls is.
const golden = 0.6180339887498949

var description = grpc.StreamDesc{StreamName: "bench", ServerStreams: true, ClientStreams: true}

// Call is one recording stream.
type Call struct {
	plan    *Plan
	number  int
	opening []byte
	script  [][]byte

	mutex sync.Mutex
	sent  []time.Time
	acked int

	stopped   atomic.Bool
	times     CallTimes
	late      []time.Duration
	held      []time.Duration
	waits     []time.Duration
	sentBytes int
}

// CallTimes tells when what happened, ns since the epoch; 0 is never.
type CallTimes struct {
	Began     int64  `json:"began"`
	Opened    int64  `json:"opened"`
	Closed    int64  `json:"closed"`
	Stopped   int64  `json:"stopped"`
	Completed int64  `json:"completed"`
	Ended     int64  `json:"ended"`
	Error     string `json:"error,omitempty"`
}

func newCall(plan *Plan, number int, opening []byte, script [][]byte) *Call {
	audio := len(script) - 1
	return &Call{
		plan: plan, number: number, opening: opening, script: script,
		sent: make([]time.Time, 0, audio), late: make([]time.Duration, 0, audio),
		held: make([]time.Duration, 0, audio), waits: make([]time.Duration, 0, audio),
	}
}

func (c *Call) interval() time.Duration {
	return time.Duration(c.plan.IntervalMS * float64(time.Millisecond))
}

func (c *Call) run(ctx context.Context, channel *grpc.ClientConn, began time.Time) {
	phase := math.Mod(float64(c.number)*golden, 1) * c.plan.IntervalMS
	start := began.Add(time.Duration((float64(c.number)*c.plan.SpacingMS + phase) * float64(time.Millisecond)))
	time.Sleep(time.Until(start))
	c.times.Began = time.Now().UnixNano()
	stream, err := channel.NewStream(ctx, &description, c.plan.Method)
	if err == nil {
		err = stream.SendMsg(c.opening)
	}
	if err != nil {
		c.times.Error = err.Error()
		return
	}
	done := make(chan error, 1)
	go func() { done <- c.read(stream) }()
	c.send(stream)
	if err := <-done; err != nil {
		c.times.Error = err.Error()
	}
	c.times.Ended = time.Now().UnixNano()
}

// send sends the script; how the stream ended is told by the reader.
func (c *Call) send(stream grpc.ClientStream) {
	last := len(c.script) - 1
	began := time.Now()
	free := began
	for i, message := range c.script[:last] {
		now := c.await(began.Add(time.Duration(i+1)*c.interval()), free)
		if c.stopped.Load() {
			_ = stream.CloseSend()
			return
		}
		c.mutex.Lock()
		c.sent = append(c.sent, now)
		c.mutex.Unlock()
		if stream.SendMsg(message) != nil {
			return
		}
		c.sentBytes += len(message)
		free = time.Now()
		c.held = append(c.held, free.Sub(now))
	}
	c.times.Closed = time.Now().UnixNano()
	if stream.SendMsg(c.script[last]) == nil {
		_ = stream.CloseSend()
	}
}

// await sleeps until a message is due and notes by how much that was too late: from when it was due or, where the
// server held the message before, from when that one was gone.
func (c *Call) await(due, free time.Time) time.Time {
	if c.plan.IntervalMS == 0 {
		return time.Now()
	}
	time.Sleep(time.Until(due))
	now := time.Now()
	if free.After(due) {
		due = free
	}
	c.late = append(c.late, now.Sub(due))
	return now
}

func (c *Call) read(stream grpc.ClientStream) error {
	for {
		var response []byte
		if err := stream.RecvMsg(&response); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		now := time.Now()
		kind, content := kindOf(response)
		switch kind {
		case c.plan.AckField:
			c.acknowledged(sequenceOf(content), now)
		case c.plan.StoppedField:
			c.times.Stopped = now.UnixNano()
			c.stopped.Store(true)
		case c.plan.CompletedField:
			c.times.Completed = now.UnixNano()
		default:
			if c.times.Opened == 0 {
				c.times.Opened = now.UnixNano()
			}
		}
	}
}

// acknowledged notes how long the messages that it covers have waited; the opening was sequence 1.
func (c *Call) acknowledged(sequence uint64, now time.Time) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	upto := min(int(sequence)-1, len(c.sent))
	for ; c.acked < upto; c.acked++ {
		c.waits = append(c.waits, now.Sub(c.sent[c.acked]))
	}
}
