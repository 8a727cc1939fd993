// Command loadgen records many calls at once in real time from messages that were made before, and says what it saw.
//
// It sends bytes as they are: serializing would cost the processor that the server is measured on.
//
//	loadgen PLAN.json    prints one line of JSON at its end
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Few collections: the messages live as long as the process, and there is nothing else to collect.
const gcPercent = 800

// Plan is what to send.
type Plan struct {
	// Target is host:port.
	Target string `json:"target"`
	// Method is the full name of a bidirectional RPC.
	Method string `json:"method"`
	// Metadata goes with every stream.
	Metadata map[string]string `json:"metadata"`
	// Connections is how many media servers there are; the calls take turns.
	Connections int `json:"connections"`
	// Openings names a file with the first message of each call.
	Openings string `json:"openings"`
	// Scripts names files with the messages that follow; the calls take turns. The last message hangs up.
	Scripts []string `json:"scripts"`
	// IntervalMS lies between two messages; 0 sends as fast as the server takes them.
	IntervalMS float64 `json:"interval_ms"`
	// SpacingMS lies between the beginnings of two calls.
	SpacingMS float64 `json:"spacing_ms"`
	// AckField, StoppedField and CompletedField are field numbers of the response.
	AckField       int `json:"ack_field"`
	StoppedField   int `json:"stopped_field"`
	CompletedField int `json:"completed_field"`
	// TimeoutS ends every call that still runs.
	TimeoutS float64 `json:"timeout_s"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: loadgen PLAN.json")
		os.Exit(2)
	}
	debug.SetGCPercent(gcPercent)
	report, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(path string) (*Report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var plan Plan
	if err := json.Unmarshal(data, &plan); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	openings, err := readMessages(plan.Openings)
	if err != nil {
		return nil, err
	}
	scripts := make([][][]byte, len(plan.Scripts))
	for i, name := range plan.Scripts {
		if scripts[i], err = readMessages(name); err != nil {
			return nil, err
		}
	}
	channels, err := dial(&plan)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, channel := range channels {
			_ = channel.Close()
		}
	}()
	calls := make([]*Call, len(openings))
	for i := range calls {
		calls[i] = newCall(&plan, i, openings[i], scripts[i%len(scripts)])
	}
	runAll(&plan, calls, channels)
	return summarize(calls, cpuSeconds()), nil
}

func dial(plan *Plan) ([]*grpc.ClientConn, error) {
	channels := make([]*grpc.ClientConn, plan.Connections)
	for i := range channels {
		channel, err := grpc.NewClient(plan.Target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
		if err != nil {
			return nil, err
		}
		channels[i] = channel
	}
	return channels, nil
}

func runAll(plan *Plan, calls []*Call, channels []*grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(plan.TimeoutS*float64(time.Second)))
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(plan.Metadata))
	var all sync.WaitGroup
	began := time.Now()
	for i, call := range calls {
		all.Go(func() { call.run(ctx, channels[i%len(channels)], began) })
	}
	all.Wait()
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
