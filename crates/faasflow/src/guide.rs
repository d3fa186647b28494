//! The guide, in the order of a request's life: from the first flow to what runs it.
//!
//! It is there in the documentation only, and each of its blocks is a test. The pages link to each other as files;
//! the definitions before each page lead the same links to the modules here, since the first definition counts.

#[doc = "[openfaas.md]: crate::guide::openfaas"]
#[doc = ""]
#[doc = include_str!("../guide/hello-world.md")]
pub mod hello_world {}

#[doc = "[phases.md]: crate::guide::phases"]
#[doc = "[failures.md]: crate::guide::failures"]
#[doc = "[context.md]: crate::guide::context"]
#[doc = "[modifiers.md]: crate::guide::modifiers"]
#[doc = ""]
#[doc = include_str!("../guide/calling-functions.md")]
pub mod calling_functions {}

#[doc = "[context.md]: crate::guide::context"]
#[doc = "[state.md]: crate::guide::state"]
#[doc = "[failures.md]: crate::guide::failures"]
#[doc = ""]
#[doc = include_str!("../guide/modifiers.md")]
pub mod modifiers {}

#[doc = "[phases.md]: crate::guide::phases"]
#[doc = "[../reference/responses.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/responses.md"]
#[doc = ""]
#[doc = include_str!("../guide/responses.md")]
pub mod responses {}

#[doc = "[graphs.md]: crate::guide::graphs"]
#[doc = ""]
#[doc = include_str!("../guide/phases.md")]
pub mod phases {}

#[doc = "[calling-functions.md]: crate::guide::calling_functions"]
#[doc = ""]
#[doc = include_str!("../guide/callbacks.md")]
pub mod callbacks {}

#[doc = "[responses.md]: crate::guide::responses"]
#[doc = "[modifiers.md]: crate::guide::modifiers"]
#[doc = "[../reference/responses.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/responses.md"]
#[doc = "[graph-failures.md]: crate::guide::graph_failures"]
#[doc = ""]
#[doc = include_str!("../guide/failures.md")]
pub mod failures {}

#[doc = "[choices.md]: crate::guide::choices"]
#[doc = "[context.md]: crate::guide::context"]
#[doc = "[for-each.md]: crate::guide::for_each"]
#[doc = "[graph-failures.md]: crate::guide::graph_failures"]
#[doc = "[phases.md]: crate::guide::phases"]
#[doc = "[state-managers.md]: crate::guide::state_managers"]
#[doc = "[sub-flows.md]: crate::guide::sub_flows"]
#[doc = ""]
#[doc = include_str!("../guide/graphs.md")]
pub mod graphs {}

#[doc = "[../reference/errors.md#ff0333-a-choice-names-no-branch]: https://github.com/faasflow/faasflow/blob/main/docs/reference/errors.md#ff0333-a-choice-names-no-branch"]
#[doc = "[graphs.md]: crate::guide::graphs"]
#[doc = "[phases.md]: crate::guide::phases"]
#[doc = "[state-managers.md]: crate::guide::state_managers"]
#[doc = ""]
#[doc = include_str!("../guide/choices.md")]
pub mod choices {}

#[doc = "[../reference/configuration.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/configuration.md"]
#[doc = "[../reference/errors.md#ff0332-a-for-each-has-too-many-items]: https://github.com/faasflow/faasflow/blob/main/docs/reference/errors.md#ff0332-a-for-each-has-too-many-items"]
#[doc = "[context.md]: crate::guide::context"]
#[doc = "[graph-failures.md]: crate::guide::graph_failures"]
#[doc = "[graphs.md]: crate::guide::graphs"]
#[doc = "[state-managers.md]: crate::guide::state_managers"]
#[doc = ""]
#[doc = include_str!("../guide/for-each.md")]
pub mod for_each {}

#[doc = "[choices.md]: crate::guide::choices"]
#[doc = "[graphs.md]: crate::guide::graphs"]
#[doc = ""]
#[doc = include_str!("../guide/sub-flows.md")]
pub mod sub_flows {}

#[doc = "[failures.md]: crate::guide::failures"]
#[doc = ""]
#[doc = include_str!("../guide/graph-failures.md")]
pub mod graph_failures {}

#[doc = "[state.md]: crate::guide::state"]
#[doc = ""]
#[doc = include_str!("../guide/context.md")]
pub mod context {}

#[doc = "[state-managers.md]: crate::guide::state_managers"]
#[doc = ""]
#[doc = include_str!("../guide/state.md")]
pub mod state {}

#[doc = "[large-payloads.md]: crate::guide::large_payloads"]
#[doc = "[../reference/state-api.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/state-api.md"]
#[doc = ""]
#[doc = include_str!("../guide/state-managers.md")]
pub mod state_managers {}

#[doc = "[state-managers.md]: crate::guide::state_managers"]
#[doc = ""]
#[doc = include_str!("../guide/large-payloads.md")]
pub mod large_payloads {}

#[doc = include_str!("../guide/your-own-state-manager.md")]
pub mod your_own_state_manager {}

#[doc = "[../../SECURITY.md]: https://github.com/faasflow/faasflow/blob/main/SECURITY.md"]
#[doc = ""]
#[doc = include_str!("../guide/signing.md")]
pub mod signing {}

#[doc = "[exploring.md]: crate::guide::exploring"]
#[doc = ""]
#[doc = include_str!("../guide/testing.md")]
pub mod testing {}

#[doc = "[testing.md]: crate::guide::testing"]
#[doc = ""]
#[doc = include_str!("../guide/exploring.md")]
pub mod exploring {}

#[doc = "[../reference/local-gateway.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/local-gateway.md"]
#[doc = "[state-managers.md]: crate::guide::state_managers"]
#[doc = ""]
#[doc = include_str!("../guide/local-gateway.md")]
pub mod local_gateway {}

#[doc = "[../reference/admin-api.md#who-may-call]: https://github.com/faasflow/faasflow/blob/main/docs/reference/admin-api.md#who-may-call"]
#[doc = "[requests.md]: crate::guide::requests"]
#[doc = ""]
#[doc = include_str!("../guide/dashboard.md")]
pub mod dashboard {}

#[doc = include_str!("../guide/queue.md")]
pub mod queue {}

#[doc = "[checking.md]: crate::guide::checking"]
#[doc = "[../reference/configuration.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/configuration.md"]
#[doc = ""]
#[doc = include_str!("../guide/configuration.md")]
pub mod configuration {}

#[doc = "[configuration.md]: crate::guide::configuration"]
#[doc = "[large-payloads.md]: crate::guide::large_payloads"]
#[doc = "[signing.md]: crate::guide::signing"]
#[doc = "[../reference/exit-codes.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/exit-codes.md"]
#[doc = ""]
#[doc = include_str!("../guide/checking.md")]
pub mod checking {}

#[doc = "[../reference/openfaas.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/openfaas.md"]
#[doc = ""]
#[doc = include_str!("../guide/openfaas.md")]
pub mod openfaas {}

#[doc = "[openfaas.md]: crate::guide::openfaas"]
#[doc = "[../../deploy/compose.yaml]: https://github.com/faasflow/faasflow/blob/main/deploy/compose.yaml"]
#[doc = ""]
#[doc = include_str!("../guide/compose.md")]
pub mod compose {}

#[doc = "[openfaas.md]: crate::guide::openfaas"]
#[doc = "[signing.md]: crate::guide::signing"]
#[doc = "[../../deploy/README.md]: https://github.com/faasflow/faasflow/blob/main/deploy/README.md"]
#[doc = "[../reference/responses.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/responses.md"]
#[doc = ""]
#[doc = include_str!("../guide/kubernetes.md")]
pub mod kubernetes {}

#[doc = "[../../deploy/README.md]: https://github.com/faasflow/faasflow/blob/main/deploy/README.md"]
#[doc = ""]
#[doc = include_str!("../guide/metrics.md")]
pub mod metrics {}

#[doc = "[metrics.md]: crate::guide::metrics"]
#[doc = "[../reference/log.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/log.md"]
#[doc = "[../benchmarks.md]: https://github.com/faasflow/faasflow/blob/main/docs/benchmarks.md"]
#[doc = "[../../examples/upload-pipeline/README.md]: https://github.com/faasflow/faasflow/blob/main/examples/upload-pipeline/README.md"]
#[doc = ""]
#[doc = include_str!("../guide/tracing.md")]
pub mod tracing {}

#[doc = "[tracing.md]: crate::guide::tracing"]
#[doc = "[../reference/log.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/log.md"]
#[doc = ""]
#[doc = include_str!("../guide/logs.md")]
pub mod logs {}

#[doc = "[../reference/admin-api.md]: https://github.com/faasflow/faasflow/blob/main/docs/reference/admin-api.md"]
#[doc = ""]
#[doc = include_str!("../guide/requests.md")]
pub mod requests {}
