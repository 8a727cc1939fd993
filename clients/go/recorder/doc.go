// Package recorder is the client of Recorder, the call-recording service.
//
// A call is opened with [Client.RecordCall], written with [Call.Write] and ended with [Call.Close]. What the server has
// not acknowledged is kept and sent again when the line breaks or the server restarts, so the file is the same as if
// nothing had happened.
//
// The generated stubs of the contract are in package recorderv1, in the folder v1.
package recorder
