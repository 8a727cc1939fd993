// Package servertest runs a real Recorder server for tests.
package servertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recorder-project/recorder/clients/go/recorder"
	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const startTimeout = 60 * time.Second

// Server is one `recorder serve` process on free loopback ports; it can be killed and started again on the same data.
type Server struct {
	// Target is its gRPC address.
	Target string

	t       testing.TB
	binary  string
	dataDir string
	ports   ports
	process *exec.Cmd
	log     *lockedBuffer
}

type ports struct {
	GRPC    int `json:"grpc_port"`
	HTTP    int `json:"http_port"`
	Metrics int `json:"metrics_port"`
}

// Start runs the server that RECORDER_BIN names, or the development environment's. Without one the test is skipped; in
// continuous integration (CI is set) it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	server := &Server{t: t, binary: binary(t), dataDir: filepath.Join(t.TempDir(), "data"), log: &lockedBuffer{}}
	t.Cleanup(server.terminate)
	server.Run()
	return server
}

func binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("RECORDER_BIN")
	if path == "" {
		path = developmentServer()
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	missing := fmt.Sprintf("there is no server at %s: set RECORDER_BIN to the `recorder` command, or run `make setup`", path)
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// developmentServer is the command that `make setup` installs, in a folder above the tests'.
func developmentServer() string {
	folder, _ := os.Getwd()
	for folder != filepath.Dir(folder) {
		path := filepath.Join(folder, ".venv", "bin", "recorder")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		folder = filepath.Dir(folder)
	}
	return ".venv/bin/recorder"
}

// Run starts the process, on the same ports as the last time, and waits until it serves; arguments are more of its
// options.
func (s *Server) Run(arguments ...string) {
	s.t.Helper()
	options := []string{"serve", "--data-dir", s.dataDir,
		"--grpc-port", fmt.Sprint(s.ports.GRPC), "--http-port", fmt.Sprint(s.ports.HTTP),
		"--metrics-port", fmt.Sprint(s.ports.Metrics)}
	command := exec.Command(s.binary, append(options, arguments...)...)
	// Tests run on whatever disk there is.
	command.Env = append(os.Environ(), "RECORDER_DISK_SOFT_PERCENT=0", "RECORDER_DISK_HARD_PERCENT=0")
	command.Stderr = s.log
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		s.t.Fatalf("cannot start %s: %v", s.binary, err)
	}
	s.process = command
	patience := time.AfterFunc(startTimeout, func() { _ = command.Process.Kill() })
	defer patience.Stop()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s.ports)
	}
	if err != nil {
		s.t.Fatalf("the server does not serve: %v\n%s", err, s.log)
	}
	s.Target = fmt.Sprintf("127.0.0.1:%d", s.ports.GRPC)
}

// Kill ends the process with SIGKILL.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// KillAndRun is a crash and the restart after it.
func (s *Server) KillAndRun(arguments ...string) {
	s.t.Helper()
	s.Kill()
	s.Run(arguments...)
}

// TerminateAndRun is an orderly restart: SIGTERM, which drains.
func (s *Server) TerminateAndRun() {
	s.t.Helper()
	s.terminate()
	s.Run()
}

// AdminToken is the token made at the first start.
func (s *Server) AdminToken() string {
	text, err := os.ReadFile(filepath.Join(s.dataDir, "admin-token"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// Admin connects with the admin's token.
func (s *Server) Admin() *recorder.Client {
	return s.Connect(recorder.Config{Token: recorder.StaticToken(s.AdminToken())})
}

// Connect connects to the server; the client is closed with the test.
func (s *Server) Connect(config recorder.Config) *recorder.Client {
	client, err := recorder.Connect(s.Target, config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Tenant makes an application.
func (s *Server) Tenant(application *recorderv1.Application) *recorderv1.CreateApplicationResponse {
	s.t.Helper()
	request := &recorderv1.CreateApplicationRequest{Application: application}
	made, err := s.Admin().Applications.CreateApplication(context.Background(), request)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// Client makes an application and connects as it.
func (s *Server) Client() *recorder.Client {
	s.t.Helper()
	made := s.Tenant(&recorderv1.Application{Name: "test"})
	return s.Connect(recorder.Config{Token: s.Tokens(made)})
}

// Tokens is the token source of an application.
func (s *Server) Tokens(made *recorderv1.CreateApplicationResponse) recorder.TokenSource {
	s.t.Helper()
	tokens, err := recorder.ApplicationTokens(made.GetApplication().GetApplicationId(), []byte(made.GetPrivateKeyPem()))
	if err != nil {
		s.t.Fatal(err)
	}
	return tokens
}

func (s *Server) terminate() {
	if s.process == nil || s.process.ProcessState != nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	patience := time.AfterFunc(30*time.Second, func() { _ = s.process.Process.Kill() })
	defer patience.Stop()
	_ = s.process.Wait()
}

// lockedBuffer keeps what the server writes to standard error.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
