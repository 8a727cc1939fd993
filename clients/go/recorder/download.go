package recorder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"google.golang.org/grpc/codes"

	recorderv1 "github.com/recorder-project/recorder/clients/go/recorder/v1"
)

const defaultDownloadReconnect = time.Minute

// DownloadOptions say how a file is downloaded. A field left at zero has its default.
type DownloadOptions struct {
	// OnProgress is told how many bytes of how many are there, after every piece.
	OnProgress func(done, total int64)
	// ReconnectFor is how long to go on trying after the line broke; default 1 min.
	ReconnectFor time.Duration
}

// Download writes a finished file, going on where it was when the line breaks, and checks its size and hash.
//
// It gives the file's facts. What was written is not to be used if it fails: a file that is not what the server's facts
// say fails with the reason DAMAGED at its end.
func (c *Client) Download(
	ctx context.Context, recordingID string, to io.Writer, options DownloadOptions,
) (*recorderv1.RecordingFile, error) {
	return c.newDownload(recordingID, to, options).run(ctx)
}

// DownloadFile downloads a finished file to a path. Until it is whole and checked it is in path + ".part", from which a
// later DownloadFile goes on. If that turns out to be the beginning of another file, all is downloaded anew.
func (c *Client) DownloadFile(
	ctx context.Context, recordingID, path string, options DownloadOptions,
) (*recorderv1.RecordingFile, error) {
	file, begun, err := c.downloadPart(ctx, recordingID, path+".part", options)
	if begun && isDamaged(err) {
		file, _, err = c.downloadPart(ctx, recordingID, path+".part", options)
	}
	if err != nil {
		return nil, err
	}
	return file, os.Rename(path+".part", path)
}

// downloadPart goes on with a part; begun says that there was one. A damaged one is removed.
func (c *Client) downloadPart(
	ctx context.Context, recordingID, path string, options DownloadOptions,
) (file *recorderv1.RecordingFile, begun bool, err error) {
	part, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	download := c.newDownload(recordingID, part, options)
	if download.offset, err = io.Copy(download.hash, part); err != nil {
		return nil, false, err
	}
	begun = download.offset > 0
	if file, err = download.run(ctx); err == nil {
		return file, begun, part.Sync()
	}
	if isDamaged(err) {
		err = errors.Join(err, os.Remove(path))
	}
	return nil, begun, err
}

func (c *Client) newDownload(recordingID string, to io.Writer, options DownloadOptions) *download {
	return &download{
		client: c, recordingID: recordingID, to: to, onProgress: options.OnProgress, hash: sha256.New(),
		backoff: newBackoff(or(options.ReconnectFor, defaultDownloadReconnect)),
	}
}

type download struct {
	client      *Client
	recordingID string
	to          io.Writer
	onProgress  func(done, total int64)
	hash        hash.Hash
	backoff     *backoff
	offset      int64
	file        *recorderv1.RecordingFile
}

func (d *download) run(ctx context.Context) (*recorderv1.RecordingFile, error) {
	for {
		err := d.fetch(ctx)
		if errors.Is(err, io.EOF) {
			return d.file, d.check()
		}
		if err = d.backoff.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// fetch writes what one stream gives; io.EOF means all of it.
func (d *download) fetch(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	request := &recorderv1.DownloadRecordingRequest{RecordingId: d.recordingID, OffsetBytes: d.offset}
	stream, err := d.client.Recordings.DownloadRecording(ctx, request)
	if err != nil {
		return fromRPC(ctx, err)
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) && d.file != nil {
			return io.EOF
		}
		if err != nil {
			return fromRPC(ctx, err)
		}
		d.backoff.succeeded()
		if file := message.GetFile(); file != nil {
			d.file = file
		}
		if err := d.write(message.GetChunk()); err != nil {
			return err
		}
	}
}

func (d *download) write(chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	if _, err := d.to.Write(chunk); err != nil {
		return fmt.Errorf("cannot write the download: %w", err)
	}
	// Hashes take all they are given.
	_, _ = d.hash.Write(chunk)
	d.offset += int64(len(chunk))
	if d.onProgress != nil {
		d.onProgress(d.offset, d.file.GetSizeBytes())
	}
	return nil
}

func (d *download) check() error {
	if sum := hex.EncodeToString(d.hash.Sum(nil)); d.offset != d.file.GetSizeBytes() || sum != d.file.GetSha256() {
		return &Error{
			Reason: reasonDamaged,
			Message: fmt.Sprintf("the download of %s has %d bytes and SHA-256 %s; the file has %d and %s",
				d.recordingID, d.offset, sum, d.file.GetSizeBytes(), d.file.GetSha256()),
			Status: codes.DataLoss,
		}
	}
	return nil
}

// isDamaged says whether what is there is not the file's beginning: its hash is wrong, or it is longer.
func isDamaged(err error) bool {
	var known *Error
	return errors.As(err, &known) && (known.Reason == reasonDamaged || known.Metadata["field"] == "offset_bytes")
}
