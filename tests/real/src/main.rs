//! Kimberlite's own server as a program: `kimberlite-real ADDRESS FOLDER [CERTIFICATE KEY]`.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use kimberlite::Kimberlite;
use kimberlite_server::{Server, ServerConfig, TlsConfig};

fn serve(address: &str, folder: &str, tls: Option<TlsConfig>) -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = address.parse()?;
    let mut config = ServerConfig::new(address, folder);
    // The port beside it, for metrics, is always the same one: two servers would be in each other's way.
    config.metrics_bind_addr = None;
    if let Some(tls) = tls {
        config = config.with_tls(tls);
    }
    let mut server = Server::with_signal_handling(config, Kimberlite::open(folder)?)?;
    println!("{}", server.local_addr()?);
    server.run_with_shutdown()?;
    Ok(())
}

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let ended = match words[..] {
        [address, folder] => serve(address, folder, None),
        [address, folder, certificate, key] => serve(address, folder, Some(TlsConfig::new(certificate, key))),
        _ => Err("usage: kimberlite-real ADDRESS FOLDER [CERTIFICATE KEY]".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
