//! The admin endpoint over real sockets, before clients that mean harm.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn start() -> (SocketAddr, Arc<Admin>) {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(Metrics::new(), Arc::default());
    tokio::spawn(serve(listener, Arc::clone(&admin)));
    (address, admin)
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn connections_that_never_read_do_not_keep_a_health_check_out() {
    let (address, admin) = start().await;
    let mut hostile = Vec::new();
    for _ in 0..MAX_LOCAL + 4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The first answers fill the socket.
        stream.write_all("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".repeat(300).as_bytes()).await.ok();
        hostile.push(stream);
    }
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.0 200"));
    let ready = get(address, "/readyz").await;
    assert!(ready.contains("admin endpoint: all 16 connections are taken"), "{ready}");
    let metrics = admin.metrics.render().unwrap();
    assert!(!metrics.contains("admin_errors_total{reason=\"connections_full\"} 0"), "{metrics}");
}

#[tokio::test]
async fn who_asks_now_and_then_keeps_its_connection_before_those_that_do_not() {
    let (address, _admin) = start().await;
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.map(|_| ())
    };
    let mut scraper = TcpStream::connect(address).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..MAX_LOCAL * 2 {
        ask(&mut scraper).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await.unwrap();
        idle.push(stream);
    }
    let mut rest = Vec::new();
    assert_eq!(
        idle.first_mut().unwrap().read_to_end(&mut rest).await.unwrap_or(0),
        rest.len(),
        "it was ended"
    );
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let (address, _admin) = start().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD));
    stream.write_all(head.as_bytes()).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", answer.escape_ascii());
}
