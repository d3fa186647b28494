// The chain of the benchmarks as flows of goflow: every call of the function is a node, and goflow has its queue and its
// intermediate results in Redis.
//
//	goflow PORT REDIS_ADDRESS FUNCTION_URL CALLS...
//
// serves a flow for each number of calls, named after it, until standard input is closed. A request names in its query
// where its end is to be posted, as `callback`: goflow's own callback is lost with the first node.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"

	flow "github.com/s8sg/goflow/flow/v1"
	goflow "github.com/s8sg/goflow/v1"
)

// Workers of each flow's queue: enough that calls wait for Redis, and not for a worker.
const workers = 32

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * workers}}

func post(url string, body []byte) ([]byte, error) {
	response, err := client.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, response.Status)
	}
	return answer, err
}

// chain defines a flow of so many calls, one after the other. It is defined anew for every node that is executed.
func chain(function string, calls int) func(*flow.Workflow, *flow.Context) error {
	return func(workflow *flow.Workflow, context *flow.Context) error {
		var last []byte
		dag := workflow.Dag()
		for call := range calls {
			dag.Node(strconv.Itoa(call), func(payload []byte, _ map[string][]string) (answer []byte, err error) {
				answer, err = post(function, payload)
				last = answer
				return answer, err
			})
			if call > 0 {
				dag.Edge(strconv.Itoa(call-1), strconv.Itoa(call))
			}
		}
		callback := context.Query.Get("callback")
		workflow.Finally(func(state string) {
			if _, err := post(callback+"?state="+state, last); err != nil {
				log.Printf("the end of a request was not taken: %v", err)
			}
		})
		return nil
	}
}

func main() {
	if len(os.Args) < 5 {
		log.Fatal("usage: goflow PORT REDIS_ADDRESS FUNCTION_URL CALLS...")
	}
	// The pipe closes with the parent, however that ended.
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	service := &goflow.FlowService{Port: port, RedisURL: os.Args[2], WorkerConcurrency: workers}
	for _, name := range os.Args[4:] {
		calls, err := strconv.Atoi(name)
		if err != nil {
			log.Fatal(err)
		}
		if err := service.Register(name, chain(os.Args[3], calls)); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(service.Start())
}
