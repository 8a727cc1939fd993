package recorder

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const unaryTimeout = 15 * time.Second

// Config says how to reach a server. The zero value is plaintext without a token.
type Config struct {
	// Token is asked for the application's or the admin's token before every request; nil means none.
	Token TokenSource
	// Credentials are those of TLS; nil means plaintext.
	Credentials credentials.TransportCredentials
	// Logger is told of lost and resumed lines; nil means slog.Default(). Tokens, digits and audio are never logged.
	Logger *slog.Logger
	// DialOptions are added to the client's own.
	DialOptions []grpc.DialOption
}

// Client is a connection to one server. Its stubs carry the token, end after 15 s where the context has no deadline, and
// fail with *[Error].
type Client struct {
	// Applications manages tenants.
	Applications recorderv1.ApplicationServiceClient
	// Recordings finds and steers recordings.
	Recordings recorderv1.RecordingServiceClient
	// Webhooks shows and repeats deliveries.
	Webhooks recorderv1.WebhookServiceClient

	recorder   recorderv1.RecorderServiceClient
	events     recorderv1.EventServiceClient
	connection *grpc.ClientConn
	log        *slog.Logger
	open       context.Context
	shut       context.CancelCauseFunc
	mu         sync.Mutex // keeps calls from beginning while they are waited for
	calls      sync.WaitGroup
}

// Connect prepares a connection to the gRPC port of a server, HOST:PORT; it is made with the first request.
func Connect(target string, config Config) (*Client, error) {
	connection, err := grpc.NewClient(target, config.dialOptions()...)
	if err != nil {
		return nil, err
	}
	client := &Client{
		Applications: recorderv1.NewApplicationServiceClient(connection),
		Recordings:   recorderv1.NewRecordingServiceClient(connection),
		Webhooks:     recorderv1.NewWebhookServiceClient(connection),
		recorder:     recorderv1.NewRecorderServiceClient(connection),
		events:       recorderv1.NewEventServiceClient(connection),
		connection:   connection,
		log:          or(config.Logger, slog.Default()),
	}
	client.open, client.shut = context.WithCancelCause(context.Background())
	return client, nil
}

func (c Config) dialOptions() []grpc.DialOption {
	transport := c.Credentials
	if transport == nil {
		transport = insecure.NewCredentials()
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUnaryInterceptor(askOnce),
		// A line that went dead without a word is noticed after 30 s, not after the kernel's many minutes.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		// Calls wait for the server with their own back-off; gRPC's would grow to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: grpcbackoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
	}
	if c.Token != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer{c.Token}))
	}
	return append(options, c.DialOptions...)
}

// Close abandons the calls that still run and closes the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	c.shut(&Error{Reason: reasonClientShut, Message: "the client was closed before the recording was completed"})
	c.mu.Unlock()
	c.calls.Wait()
	return c.connection.Close()
}

// RecordCall begins a recording and waits until it exists. Where start has no recording id one is chosen, so that a lost
// answer does no harm.
//
// The call lives until its recording is completed, it is abandoned, the client is closed, or ctx ends.
func (c *Client) RecordCall(ctx context.Context, start *recorderv1.StartCall, options CallOptions) (*Call, error) {
	mine := proto.CloneOf(start)
	if mine.GetRecordingId() == "" {
		mine.RecordingId = newUUID()
	}
	call, err := c.newCall(mine, options.withDefaults())
	if err != nil {
		return nil, err
	}
	running, abandon := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.open, func() { abandon(context.Cause(c.open)) })
	call.abandon = func(cause error) {
		stop()
		abandon(cause)
	}
	if err := c.begin(func() { call.run(running) }); err != nil {
		call.abandon(nil)
		return nil, err
	}
	if err := call.opening(); err != nil {
		return nil, err
	}
	return call, nil
}

// begin starts a call's goroutine, unless the client was closed.
func (c *Client) begin(run func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.Err() != nil {
		return context.Cause(c.open)
	}
	c.calls.Go(run)
	return nil
}

func (c *Client) newCall(start *recorderv1.StartCall, options CallOptions) (*Call, error) {
	packer, err := newPacker(start.GetLegs(), options.Message)
	if err != nil {
		return nil, err
	}
	backlog := newBacklog(options.BufferBytes)
	call := &Call{
		recordingID: start.GetRecordingId(),
		message:     options.Message,
		backlog:     backlog,
		packer:      packer,
		messages:    make(chan *recorderv1.RecordCallResponse, unreadMessages),
		ready:       make(chan struct{}),
		done:        make(chan struct{}),
	}
	open := func(ctx context.Context) (callStream, error) { return c.recorder.RecordCall(ctx) }
	call.line = &line{
		start: start, options: options, backlog: backlog, open: open, recording: c.Recording,
		onMessage: call.keep, log: c.log,
	}
	return call, nil
}

// Recording gets one recording as it stands.
func (c *Client) Recording(ctx context.Context, recordingID string) (*recorderv1.Recording, error) {
	answer, err := c.Recordings.GetRecording(ctx, &recorderv1.GetRecordingRequest{RecordingId: recordingID})
	return answer.GetRecording(), err
}

// askOnce gives a request a deadline and reads the error out of its answer.
func askOnce(
	ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	limited := ctx
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, unaryTimeout)
		defer cancel()
	}
	return fromRPC(ctx, invoke(limited, method, request, answer, connection, options...))
}

// bearer puts the token into the metadata of every RPC.
type bearer struct{ source TokenSource }

// GetRequestMetadata asks the source for a token.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err != nil || token == "" {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity is false: inside one network Recorder is used in plaintext too.
func (bearer) RequireTransportSecurity() bool { return false }
