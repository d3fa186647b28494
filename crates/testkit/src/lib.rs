//! Runs a flow to its end in process, over real HTTP, with fake functions.
//!
//! ```
//! use faasflow_core::{Call, Flow};
//! use faasflow_testkit::{Fake, TestKit};
//!
//! # #[tokio::main(flavor = "multi_thread")] async fn main() {
//! let flow = Flow::builder().apply("upper").apply("reverse").build().unwrap();
//! let kit = TestKit::new(flow)
//!     .function("upper", Fake::with(|call| call.text().to_uppercase()))
//!     .function("reverse", Fake::with(|call| call.text().chars().rev().collect::<String>()))
//!     .start()
//!     .await;
//!
//! let end = kit.request("abc").send().await; // two phases, through a queue
//! assert_eq!(end.text(), "CBA");
//! assert_eq!(kit.calls("upper").len(), 1);
//! # }
//! ```
//!
//! The kit stands in for the gateway: it has the functions, callback URLs and an asynchronous queue, all on ports
//! of the loopback interface that it picks. The queue can be held, stopped, or made to deliver twice, and the flow
//! function can be made to crash.

pub mod conformance;

mod fake;
mod flow_process;
mod gateway;
mod kit;
mod lock;
mod recorded;
mod request;
mod running;

pub use fake::{Fake, Reply};
pub use kit::TestKit;
pub use recorded::RecordedCall;
pub use request::{Answer, End, Request};
pub use running::Running;
