//! A call through the local gateway while clients get its events, compared with a gateway that nobody looks at.

use std::net::SocketAddr;

use faasflow_benches_deployed::CALLED;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::ending::Folder;
use crate::load::Target;
use crate::process::{Process, echo, free_port};
use crate::role::Role;
use crate::rounds::{Arm, Figures, Rounds, interleave};
use crate::stats::noise;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// How many clients get events, for each arm. The first arm is the floor.
const STREAMS: [(usize, &str); 3] =
    [(0, "nobody gets events"), (1, "1 client gets events"), (10, "10 clients get events")];
const CLIENTS: usize = 8;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (15, 400), (31, 500));
    let echo = echo()?;
    let mut gateways = Vec::new();
    for _ in STREAMS {
        let (folder, port) = (Folder::new()?, free_port()?);
        let functions = vec![(CALLED.to_owned(), echo.port())];
        let role = Role::Gateway { port, folder: folder.path().to_owned(), functions };
        gateways.push((Process::start(&role, port, &[])?, folder));
    }
    let mut reading = JoinSet::new();
    for ((gateway, _), (streams, _)) in gateways.iter().zip(STREAMS) {
        for _ in 0..streams {
            let stream = open(gateway.address()).await?;
            reading.spawn(read(stream));
        }
    }
    let path = format!("/function/{CALLED}");
    let mut arms: Vec<Arm<'_>> = Vec::new();
    for ((gateway, _), (_, name)) in gateways.iter().zip(STREAMS) {
        arms.push(Arm::new(name, gateway, Target::new(gateway.address(), &path, 32)));
    }
    let figures = interleave(&mut arms, 0, CLIENTS, rounds).await?;
    if let Some(ended) = reading.try_join_next() {
        return Err(ended?.err().unwrap_or_else(|| "a stream of events ended".into()));
    }
    let heads: Vec<&str> = ["gateway"].into_iter().chain(Figures::HEADS).collect();
    let mut table = Table::new(&heads);
    for (arm, figures) in arms.iter().zip(&figures) {
        table.lines.push([vec![arm.name.to_owned()], figures.cells()].concat());
    }
    let rows = figures.iter().zip(STREAMS).skip(1).map(|(figures, (streams, _))| Row {
        name: format!("events-{streams}-rate-ratio"),
        value: figures.rate_ratio,
        unit: "x",
        floor: Some(1.0),
        samples: rounds.count,
    });
    let spreads: Vec<f64> = figures.iter().map(|figures| figures.spread).collect();
    let notes = vec![
        format!("{}: 32 B, {CLIENTS} clients call, {rounds}.", scale.name()),
        "The floor is a gateway of which nobody gets events. Each has the same load; the clients of events read all that comes.".to_owned(),
        noise(&spreads),
    ];
    let rows = rows.collect();
    Ok(Report {
        title: "events: a call through the local gateway while clients get events".to_owned(),
        tables: vec![table],
        notes,
        rows,
    })
}

/// Asks for events.
async fn open(address: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /system/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    match head.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(stream),
        false => Err(format!("the gateway sends no events: {}", String::from_utf8_lossy(&head)).into()),
    }
}

/// Reads events until the gateway ends.
async fn read(mut stream: TcpStream) -> Result<(), Failure> {
    let mut part = vec![0; 64 << 10];
    while stream.read(&mut part).await? > 0 {}
    Ok(())
}
