package recorder

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const defaultFeedReconnect = 5 * time.Minute

// SubscribeOptions say how the event feed is followed. A field left at zero has its default.
type SubscribeOptions struct {
	// ReconnectFor is how long to go on trying after the line broke; default 5 min.
	ReconnectFor time.Duration
	// OnSubscribed is called once the feed stands: what happens from then on will be told.
	OnSubscribed func()
}

// Subscription gives events in order, without holes and without repeats, for as long as it is read.
type Subscription struct {
	request      *recorderv1.SubscribeEventsRequest
	open         openFeed
	backoff      *backoff
	onSubscribed func()
	cursor       atomic.Pointer[string]
}

type (
	eventFeed = grpc.ServerStreamingClient[recorderv1.SubscribeEventsResponse]
	openFeed  = func(ctx context.Context, request *recorderv1.SubscribeEventsRequest) (eventFeed, error)
)

// Subscribe prepares a subscription to the event feed, across lost connections; it begins when it is read.
//
// request says where to begin and what to send; nil means everything from now on.
func (c *Client) Subscribe(request *recorderv1.SubscribeEventsRequest, options SubscribeOptions) *Subscription {
	if request == nil {
		request = &recorderv1.SubscribeEventsRequest{}
	}
	subscription := &Subscription{
		request: proto.CloneOf(request),
		open: func(ctx context.Context, asked *recorderv1.SubscribeEventsRequest) (eventFeed, error) {
			return c.events.SubscribeEvents(ctx, asked)
		},
		backoff:      newBackoff(or(options.ReconnectFor, defaultFeedReconnect)),
		onSubscribed: options.OnSubscribed,
	}
	cursor := request.GetCursor()
	subscription.cursor.Store(&cursor)
	return subscription
}

// Cursor is the place after everything seen so far; empty before the first message. Keep it to go on another time.
func (s *Subscription) Cursor() string { return *s.cursor.Load() }

// Events gives the events until ctx ends, the subscription is refused, or the server cannot be reached for too long; the
// last pair then holds the error. Read again, it goes on after the last event.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[*recorderv1.Event, error] {
	return func(yield func(*recorderv1.Event, error) bool) {
		for {
			lost, goOn := s.follow(ctx, yield)
			if !goOn {
				return
			}
			if err := s.backoff.wait(ctx, lost); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// follow gives the events of one feed until it breaks, and says why; or until the reader has enough.
func (s *Subscription) follow(parent context.Context, yield func(*recorderv1.Event, error) bool) (error, bool) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	feed, err := s.open(ctx, s.fromHere())
	for err == nil {
		var response *recorderv1.SubscribeEventsResponse
		if response, err = feed.Recv(); err != nil {
			break
		}
		if event := s.take(response); event != nil && !yield(event, nil) {
			return nil, false
		}
	}
	return fromRPC(ctx, err), true
}

func (s *Subscription) fromHere() *recorderv1.SubscribeEventsRequest {
	request := proto.CloneOf(s.request)
	if cursor := s.Cursor(); cursor != "" {
		request.Begin = &recorderv1.SubscribeEventsRequest_Cursor{Cursor: cursor}
	}
	return request
}

func (s *Subscription) take(response *recorderv1.SubscribeEventsResponse) *recorderv1.Event {
	s.backoff.succeeded()
	if s.onSubscribed != nil {
		s.onSubscribed()
		s.onSubscribed = nil
	}
	event := response.GetEvent()
	cursor := event.GetCursor()
	if event == nil {
		cursor = response.GetHeartbeat().GetCursor()
	}
	if cursor != "" {
		s.cursor.Store(&cursor)
	}
	return event
}
