// A stand-in for of-watchdog, OpenFaaS's program in front of a function, which the Go module proxy does not have. Like
// of-watchdog, it is a static Go program, so it uses the same HTTP library. It implements the parts of the mode `http`
// that matter to a flow:
//
// - it starts `fprocess` with its own environment and forwards requests to `upstream_url`; if a request cannot be
//     forwarded, it answers 500;
// - it copies the function's log line by line; with the default `log_buffer_size`, it stops after a line of 64 KiB;
//   - `/_/health` is its own; `/_/ready` asks the function at `ready_path`, if that is set;
// - it keeps a lock file in /tmp; if it cannot, it ends silently with 0;
// - at SIGTERM, it passes the signal on, becomes unhealthy, forwards new requests for `healthcheck_interval`, then
//     accepts none, waits for those in flight, and ends;
//   - it ends with 1 when the function does.
//
// Other modes, authentication, limits and metrics are left out.
package main

import (
	"bufio"
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func setting(name, fallback string) string {
	if value, ok := os.LookupEnv(name); ok && value != "" {
		return value
	}
	return fallback
}

// A duration as Go writes it, or a number of seconds.
func duration(name string, fallback time.Duration) time.Duration {
	value := setting(name, fallback.String())
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(seconds) * time.Second
	}
	parsed, err := time.ParseDuration(value)
	if err != nil {
		log.Fatalf("%s: %s", name, err)
	}
	return parsed
}

func copyLines(from io.Reader, to io.Writer) {
	size, err := strconv.Atoi(setting("log_buffer_size", strconv.Itoa(bufio.MaxScanTokenSize)))
	if err != nil {
		log.Fatalf("log_buffer_size: %s", err)
	}
	if size < 0 {
		reader := bufio.NewReader(from)
		for {
			line, err := reader.ReadBytes('\n')
			to.Write(line)
			if err != nil {
				return
			}
		}
	}
	scanner := bufio.NewScanner(from)
	scanner.Buffer(make([]byte, 0, size), size)
	for scanner.Scan() {
		io.WriteString(to, scanner.Text()+"\n")
	}
}

type front struct {
	upstream string
	ready    string
	timeout  time.Duration
	client   *http.Client
	healthy  atomic.Bool
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_/health":
		f.health(w)
	case "/_/ready":
		if f.ready == "" || !f.healthy.Load() {
			f.health(w)
			return
		}
		r.URL.Path = f.ready
		f.forward(w, r)
	default:
		f.forward(w, r)
	}
}

func (f *front) health(w http.ResponseWriter) {
	if f.healthy.Load() {
		w.Write([]byte("OK"))
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (f *front) forward(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if f.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		ctx = limited
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, f.upstream+r.URL.RequestURI(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Connection")
	request.Host = r.Host
	request.ContentLength = r.ContentLength
	response, err := f.client.Do(request)
	if err != nil {
		log.Printf("upstream: %s", err)
		w.Header().Set("X-OpenFaaS-Internal", "of-watchdog")
		if ctx.Err() == context.DeadlineExceeded {
			w.WriteHeader(http.StatusGatewayTimeout)
		} else {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return
	}
	defer response.Body.Close()
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	io.Copy(w, response.Body)
}

func main() {
	lock := filepath.Join(os.TempDir(), ".lock")
	if err := os.WriteFile(lock, nil, 0660); err != nil {
		os.Exit(0)
	}
	readTimeout := duration("read_timeout", 30*time.Second)
	writeTimeout := duration("write_timeout", 30*time.Second)
	interval := duration("healthcheck_interval", writeTimeout)

	words := strings.Fields(setting("fprocess", ""))
	if len(words) == 0 {
		log.Fatal("provide a \"fprocess\" environmental variable for your function")
	}
	function := exec.Command(words[0], words[1:]...)
	output, err := function.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	errors, err := function.StderrPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := function.Start(); err != nil {
		log.Fatalf("unable to start %s: %s", words[0], err)
	}
	go copyLines(output, os.Stdout)
	go copyLines(errors, os.Stderr)

	f := &front{
		upstream: strings.TrimRight(setting("upstream_url", ""), "/"),
		ready:    setting("ready_path", ""),
		timeout:  duration("exec_timeout", 30*time.Second),
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConns: 100, MaxIdleConnsPerHost: 100, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
	f.healthy.Store(true)
	server := &http.Server{
		Addr:         ":" + setting("port", "8080"),
		Handler:      f,
		ReadTimeout:  readTimeout,
		WriteTimeout: writeTimeout,
	}

	var stopping atomic.Bool
	go func() {
		if err := function.Wait(); !stopping.Load() {
			log.Fatalf("forked function has terminated: %v", err)
		}
	}()

	stopped := make(chan struct{})
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		<-signals
		stopping.Store(true)
		f.healthy.Store(false)
		os.Remove(lock)
		function.Process.Signal(syscall.SIGTERM)
		log.Printf("SIGTERM: no new connections in %s", interval)
		time.Sleep(interval)
		limited, cancel := context.WithTimeout(context.Background(), writeTimeout)
		defer cancel()
		if err := server.Shutdown(limited); err != nil {
			log.Printf("shutdown: %s", err)
		}
		close(stopped)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-stopped
}
