//! Runs a flow from beginning to end in a test, over real HTTP, with fake functions.
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
//! The kit replaces the gateway: it has the functions, the callback URLs and an asynchronous queue, all on free ports
//! of the loopback interface. You can hold the queue or a function, stop the queue, or make it deliver everything twice,
//! and you can make the flow function crash.

pub mod conformance;
pub mod explore;

mod fake;
mod flow_process;
mod gateway;
mod kit;
mod lock;
mod recorded;
mod request;
mod running;

pub use explore::explore;
pub use fake::{Fake, Reply};
pub use kit::TestKit;
pub use recorded::RecordedCall;
pub use request::{Answer, End, Request};
pub use running::Running;
