//! What an ECS task is: the fields that the agent's generated configuration would add to each record of `FireLens`.
//!
//! Source: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::metadata::ecs;

/// How long the endpoint may take. It is on this host.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Names and values of fields.
type TaskFields = Arc<[(Box<str>, Box<str>)]>;

/// Asks the endpoint of this container at `url` for its task.
pub(super) async fn fields(url: &str) -> io::Result<TaskFields> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(TIMEOUT, ecs::task(url)).await.map_err(late)?.map(|task| of_task(&task))
}

fn of_task(task: &Value) -> TaskFields {
    let text = |member: &str| task.get(member).and_then(Value::as_str);
    let definition =
        text("Family").zip(text("Revision")).map(|(family, revision)| format!("{family}:{revision}"));
    let fields = [
        ("ecs_cluster", text("Cluster")),
        ("ecs_task_arn", text("TaskARN")),
        ("ecs_task_definition", definition.as_deref()),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
            assert!(request[..len].starts_with(b"GET /v4/abc/task HTTP/1.1\r\n"));
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
        assert!(of_task(&serde_json::json!({})).is_empty());
    }
}
