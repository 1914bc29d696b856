//! Kimberlite's own server as a program: `kimberlite-real ADDRESS FOLDER`.
//!
//! It takes no certificate: `ServerConfig::with_tls` of 0.9.1 keeps what it is given and never uses it, so that a server
//! which was given a certificate would speak in plain all the same.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use kimberlite::Kimberlite;
use kimberlite_server::{Server, ServerConfig};

fn serve(address: &str, folder: &str) -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = address.parse()?;
    let mut config = ServerConfig::new(address, folder);
    // The port beside it, for metrics, is always the same one: two servers would be in each other's way.
    config.metrics_bind_addr = None;
    let mut server = Server::with_signal_handling(config, Kimberlite::open(folder)?)?;
    println!("{}", server.local_addr()?);
    server.run_with_shutdown()?;
    Ok(())
}

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let ended = match words[..] {
        [address, folder] => serve(address, folder),
        _ => Err("usage: kimberlite-real ADDRESS FOLDER".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
