// A stand-in for the images of functions that OpenFaaS's certifier deploys, which cannot be pulled here. It is one
// program, and its name selects what it does.
//
// As `fwatchdog`, it does what the classic watchdog does, as far as the suite needs it. It listens on `port`, or 8080,
// runs `fprocess` for each request with the request's method, query, path and headers in its environment, and writes
// "Forking fprocess." and "Wrote N Bytes" to its log. `/_/health` says OK once `delay` (a duration) is over.
//
// As `env`, `cat` and `sha512sum`, it does what these do without options. As `redirector`, it answers every request
// with a redirect to `destination`. As `plain`, it serves HTTP without a watchdog, and answers questions about itself.
// As `check`, it is a health check that fails once `plain` has asked it to.
package main

import (
	"context"
	"crypto/sha512"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "fwatchdog":
		watchdog()
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "cat":
		cat(os.Args[1:])
	case "sha512sum":
		hash := sha512.New()
		_, _ = io.Copy(hash, os.Stdin)
		fmt.Printf("%x  -\n", hash.Sum(nil))
	case "redirector":
		serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, os.Getenv("destination"), http.StatusFound)
		})
	case "plain":
		serve(plain)
	case "check":
		if _, err := os.Stat(sick); err == nil {
			os.Exit(1)
		}
	default:
		log.Fatalf("%s is none of the programs that this is", name)
	}
}

// Serves until SIGTERM, then finishes what is in flight.
func serve(handler http.HandlerFunc) {
	port := os.Getenv("port")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: handler}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		<-stopped
		_ = server.Shutdown(context.Background())
		close(done)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-done
}

func cat(files []string) {
	if len(files) == 0 {
		_, _ = io.Copy(os.Stdout, os.Stdin)
		return
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		_, _ = os.Stdout.Write(text)
	}
}

func watchdog() {
	begun := time.Now()
	delay, _ := time.ParseDuration(os.Getenv("delay"))
	serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_/health" {
			if time.Since(begun) < delay {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		words := strings.Fields(os.Getenv("fprocess"))
		if len(words) == 0 {
			http.Error(w, "no fprocess", http.StatusInternalServerError)
			return
		}
		log.Print("Forking fprocess.")
		command := exec.Command(words[0], words[1:]...)
		command.Env = append(os.Environ(), "Http_Method="+r.Method, "Http_Path="+r.URL.Path, "Http_Query="+r.URL.RawQuery)
		for name, values := range r.Header {
			command.Env = append(command.Env, "Http_"+strings.ReplaceAll(name, "-", "_")+"="+values[0])
		}
		command.Stdin = r.Body
		command.Stderr = os.Stderr
		output, err := command.Output()
		if err != nil {
			log.Printf("Error: %s", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(output)
		log.Printf("Wrote %d Bytes - Duration: %s", len(output), time.Since(begun))
	})
}

// If this file exists, `check` fails.
const sick = "/sick"

// A server without a watchdog. Its answer depends on the path.
func plain(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/hostname":
		name, _ := os.Hostname()
		fmt.Fprint(w, name)
	case "/write":
		// Whether it may write below this folder.
		err := os.WriteFile(filepath.Join(r.URL.Query().Get("folder"), "written"), []byte("x"), 0o600)
		fmt.Fprint(w, err)
	case "/gateway":
		// The gateway's answer to a request for this path.
		url := "http://" + os.Getenv("gateway") + r.URL.Query().Get("path")
		answer, err := http.Post(url, "text/plain", r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	case "/slow":
		wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
		time.Sleep(wait)
		name, _ := os.Hostname()
		fmt.Fprint(w, name)
	case "/fall-sick":
		fmt.Fprint(w, os.WriteFile(sick, nil, 0o600))
	case "/end":
		log.Print("told to end")
		os.Exit(3)
	case "/read":
		text, err := os.ReadFile(r.URL.Query().Get("file"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(text)
	case "/cgroup":
		for _, file := range []string{"memory/memory.limit_in_bytes", "memory.max", "cpu/cpu.cfs_quota_us", "cpu.max"} {
			if text, err := os.ReadFile("/sys/fs/cgroup/" + file); err == nil {
				fmt.Fprintf(w, "%s %s", file, text)
			}
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}
