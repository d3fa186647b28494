//! The local gateway: the OpenFaaS experience in one process, without containers or a cluster.

pub mod queue;
