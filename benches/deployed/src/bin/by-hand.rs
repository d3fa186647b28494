//! The same chain by hand. Arguments: the port, and the URL of the function.

use std::net::Ipv4Addr;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("name the port to listen on, and the URL of the function".into());
    };
    let address = (Ipv4Addr::LOCALHOST, port.parse()?).into();
    faasflow_benches_deployed::by_hand::serve(address, vec![url.parse()?]).await?;
    Ok(())
}
