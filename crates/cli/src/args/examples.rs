//! What the help of each command ends with: examples, and what a newcomer wants to know next.

pub(super) const FAASFLOW: &str = "\
Start here:
  faasflow new hello-flow                    create a flow and a stack.yml that names it
  faasflow up                                build it, and run it on a local gateway
  echo Ada | faasflow invoke hello-flow      call it, from another terminal

Terms:
  function   a program that answers HTTP requests; a stack.yml lists functions
  flow       a function that calls other functions, one step after the other
  gateway    the server through which functions are called: `faasflow up`, or OpenFaaS

Exit codes:
  0  success
  1  the command ran, but failed: a function answered with an error, a check found an error
  2  the command line is wrong
  3  the gateway cannot be reached
  4  a file, a setting or a flow definition cannot be used
  5  the time was over before the request had ended";

pub(super) const DEMO: &str = "\
Examples:
  faasflow demo                      build both examples, send them photos, and show what happens
  faasflow demo --keep --port 8080   leave the gateway running afterwards, to try it yourself

The pipeline tints a photo and makes it smaller. It refuses photos that do not show exactly one face. The demo sends each \
photo twice: to a flow that answers when everything is done, and to one that goes on through a queue after its answer.

The report makes a contact sheet of the same photos. Its flow has branches, which run side by side. It also runs twice: in \
one invocation, and with a phase for each branch.";

pub(super) const UP: &str = "\
Examples:
  faasflow up                        run the functions of ./stack.yml on http://127.0.0.1:8080
  faasflow up shop/stack.yml -p 0    run another stack, on any free port
  faasflow up --no-stack             start empty, and deploy functions with `faas-cli deploy`

Functions that are cargo projects are built first, and again when their sources change.

A call of /function/NAME waits for the answer. A call of /async-function/NAME is asynchronous: the gateway stores it in its \
queue, answers, and delivers it to the function afterwards. Ctrl-C stops the gateway. Calls that are still in the queue are \
kept, and delivered after the next start.";

pub(super) const UI: &str = "\
Examples:
  faasflow ui --gateway http://10.0.0.5:8080         the flows of `faasflow up` on another machine
  faasflow ui --key @secrets/faasflow-hmac-secret    the flows of OpenFaaS, at $OPENFAAS_URL

OpenFaaS does not sign for its users, so the key of the flows is needed there.

Open the address that is printed. Only this machine can reach it, and everything on it that does can do what the key and \
the password allow. `faasflow up` serves the same pages for its own functions. Ctrl-C stops it.";

pub(super) const NEW: &str = "\
Examples:
  faasflow new hello-flow                        create hello-flow/ and stack.yml
  faasflow new second-flow --append stack.yml    add another flow to the same stack

The steps of the flow are in src/lib.rs of its folder. `faasflow up` builds the flow and runs it.";

pub(super) const INVOKE: &str = "\
Examples:
  echo Ada | faasflow invoke hello-flow               send a text, print the answer
  faasflow invoke resize < photo.jpg > small.jpg      send a file, store the answer in another
  faasflow invoke resize --async < photo.jpg          queue the call, print its ID
  faasflow invoke upload --wait=60s < photo.jpg       wait until all phases have ended
  faasflow invoke resize -q width=200 -H X-Token=abc  call it with a query and a header

Each request has an ID, the header X-Faasflow-Request-Id of the answer. `faasflow logs ID` shows what functions \
logged while they worked on it.";

pub(super) const LOGS: &str = "\
Examples:
  faasflow logs 5f0c9a41e7d2             what all functions logged while they worked on this request
  faasflow logs --function resize -f     what one function logs, as it happens";

pub(super) const REQUESTS: &str = "\
Examples:
  faasflow requests                                the newest requests of all flows
  faasflow requests upload --status failure        those of one flow that have failed
  faasflow requests --search customer-5            those with this in their ID, key or label
  faasflow requests --retrying --idle 10m          those that are being retried and have not moved for 10 minutes
  faasflow requests show order-17                  where it is, and how long each place took
  faasflow requests result order-17 -o small.jpg   store its result in a file
  faasflow requests redrive --failed --since 1h    start failed requests again, 20 per second
  faasflow requests again order-17 --wait          send its input once more, and wait for the result

A request that is redriven goes on from the place that failed. Results that are recorded are used, and not computed again.

The gateway of `faasflow up` signs for its users. For another gateway, give the key of the flows: \
`--key @secrets/faasflow-hmac-secret`.";

pub(super) const GRAPH: &str = "\
Examples:
  faasflow graph hello-flow/                   build the project in this folder, and draw its flow
  faasflow graph hello-flow                    the deployed flow, if no folder has this name
  faasflow graph hello-flow/ --format mermaid  for a README on GitHub
  faasflow graph hello-flow --format svg       a picture, which browsers open

A phase is the part of a flow that runs in one invocation. Between two phases, the request waits in the gateway's queue.";

pub(super) const CONFIG: &str = "\
Examples:
  faasflow config                    all flows of ./stack.yml
  faasflow config --flow hello-flow  one of them

Each line has a setting, its value, and where the value comes from: the stack file, an environment file, or the \
default.";

pub(super) const CHECK: &str = "\
Examples:
  faasflow check                                       against the gateway of `faasflow up`
  faasflow check --gateway http://admin:pw@host:8080   against OpenFaaS, before `faas-cli deploy`

Flows are built to read their definitions. The gateway is only asked: nothing is deployed or changed.";

pub(super) const QUEUE: &str = "\
Examples:
  faasflow queue list              calls that wait or are being delivered
  faasflow queue dead-letters      calls that were given up, each with the reason
  faasflow queue dead-letters 3    all about one of them
  faasflow queue redrive 3         deliver it once more

A call becomes a dead letter if the function answers with an error that another try would not change, or if it has been \
tried as often as `faasflow up --queue-attempts` allows. It stays until it is redriven or discarded.";

pub(super) const HEALTH: &str = "\
Examples:
  faasflow health                                  exits with 0 if the gateway is up, with 3 if it cannot be reached
  faasflow health --gateway http://10.0.0.5:8080";

pub(super) const EXPLAIN: &str = "\
Examples:
  faasflow explain FF0901    why a gateway cannot be reached, and what to do
  faasflow explain           list all codes";

pub(super) const COMPLETIONS: &str = "\
Examples:
  faasflow completions bash > ~/.local/share/bash-completion/completions/faasflow
  faasflow completions zsh > ~/.zfunc/_faasflow        with ~/.zfunc in $fpath
  faasflow completions fish > ~/.config/fish/completions/faasflow.fish
  faasflow completions powershell >> $PROFILE";

pub(super) const MAN: &str = "\
Examples:
  faasflow man --out ~/.local/share/man/man1    then `man faasflow` and `man faasflow-up` work";
