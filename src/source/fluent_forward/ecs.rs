//! What an ECS task is: the fields that the agent's generated configuration would add to each record of `FireLens`.
//!
//! Source: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the endpoint may take. It is on this host.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of an answer.
const MOST: u64 = 1 << 20;

/// Of the task's metadata.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskMetadata {
    cluster: Option<String>,
    #[serde(rename = "TaskARN")]
    task_arn: Option<String>,
    family: Option<String>,
    revision: Option<String>,
}

/// Names and values of fields.
type TaskFields = Arc<[(Box<str>, Box<str>)]>;

/// Asks the endpoint of this container at `url` for its task.
pub(super) async fn fields(url: &str) -> io::Result<TaskFields> {
    let answer = timeout(TIMEOUT, ask(url)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    parse(&answer)
}

fn parse(answer: &[u8]) -> io::Result<TaskFields> {
    let task: TaskMetadata = serde_json::from_slice(answer)?;
    let cluster = task.cluster.map(|cluster| match cluster.rsplit_once('/') {
        Some((_, name)) => name.to_owned(),
        None => cluster,
    });
    let definition = task.family.zip(task.revision).map(|(family, revision)| format!("{family}:{revision}"));
    let fields =
        [("ecs_cluster", cluster), ("ecs_task_arn", task.task_arn), ("ecs_task_definition", definition)];
    let known = fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into())));
    Ok(known.collect())
}

/// One GET of plain HTTP/1.0: nothing more is needed for this endpoint.
async fn ask(url: &str) -> io::Result<Vec<u8>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid("`ecs_metadata` is no URL"))?;
    let host = uri.host().ok_or_else(|| invalid("`ecs_metadata` has no host"))?;
    let mut stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let path = uri.path().trim_end_matches('/');
    let request = format!("GET {path}/task HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let head = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or_else(|| invalid("the answer is not HTTP"))?;
    let is_ok = answer.split(|byte| *byte == b' ').nth(1) == Some(b"200");
    if !is_ok {
        return Err(invalid("the answer is not 200"));
    }
    Ok(answer.split_off(head + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_tells_its_cluster_its_arn_and_its_definition() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v4/abc", listener.local_addr().unwrap());
        let body = r#"{"Cluster":"arn:aws:ecs:us-west-2:111122223333:cluster/default","TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/158d","Family":"curltest","Revision":"26","Containers":[]}"#;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let len = stream.read(&mut request).await.unwrap();
            assert!(request[..len].starts_with(b"GET /v4/abc/task HTTP/1.0\r\n"));
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (fields, ()) = tokio::join!(fields(&url), serve);
        let fields = fields.unwrap();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let expected = [
            ("ecs_cluster", "default"),
            ("ecs_task_arn", "arn:aws:ecs:us-west-2:111122223333:task/default/158d"),
            ("ecs_task_definition", "curltest:26"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_a_task_does_not_tell_is_left_out() {
        assert!(parse(b"{}").unwrap().is_empty());
        assert!(parse(b"<html>").is_err());
    }
}
