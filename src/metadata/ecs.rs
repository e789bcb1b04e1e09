//! The ECS task and its container, by version 4 of the task metadata endpoint.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>

use std::io;

use serde_json::{Value, json};

use super::facts::{FactValues, FactsFault, members};
use super::http::{LocalAnswer, ask};
use crate::causes::with_causes;
use crate::config::MetadataKind;

/// What the task tells: by which name, and where.
const OF_TASK: [(&str, &str); 6] = [
    ("cluster", "/Cluster"),
    ("family", "/Family"),
    ("launch_type", "/LaunchType"),
    ("revision", "/Revision"),
    ("task_arn", "/TaskARN"),
    ("zone", "/AvailabilityZone"),
];

/// What the parts of the task's ARN tell.
const OF_ARN: [(&str, &str); 3] = [("account", "/account"), ("region", "/region"), ("task_id", "/task_id")];

/// Asks the endpoint of this container.
pub(super) async fn ecs(endpoint: &str) -> Result<FactValues, FactsFault> {
    let kind = MetadataKind::Ecs;
    let task = get(endpoint, "/task").await.map_err(|error| fault(endpoint, &error))?;
    let task = with_name_of_cluster(task);
    let mut values = members(kind, &task, &OF_TASK);
    // `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`, without the cluster in its old form.
    let arn = task.get("TaskARN").and_then(Value::as_str).unwrap_or_default();
    let part = |at: usize| arn.split(':').nth(at).unwrap_or_default();
    let id = arn.rsplit('/').next().filter(|_| arn.contains('/')).unwrap_or_default();
    values.extend(members(kind, &json!({ "region": part(3), "account": part(4), "task_id": id }), &OF_ARN));
    let container = get(endpoint, "").await.map_err(|error| fault(endpoint, &error))?;
    let label =
        container.pointer("/Labels/com.amazonaws.ecs.container-name").or_else(|| container.get("Name"));
    values.extend(members(kind, &json!({ "name": label }), &[("container", "/name")]));
    Ok(values)
}

/// The task's metadata at the endpoint of a container; its cluster by its name.
///
/// # Errors
/// When there is none.
pub(crate) async fn task(endpoint: &str) -> io::Result<Value> {
    get(endpoint, "/task").await.map(with_name_of_cluster)
}

async fn get(endpoint: &str, path: &str) -> io::Result<Value> {
    let LocalAnswer { status, body } =
        ask("GET", &format!("{}{path}", endpoint.trim_end_matches('/')), &[]).await?;
    if status != 200 {
        return Err(io::Error::other(format!("the answer is {status}")));
    }
    let found: Value = serde_json::from_slice(&body)?;
    Ok(found)
}

/// A cluster may be told by its ARN or by its name.
fn with_name_of_cluster(mut task: Value) -> Value {
    if let Some(Value::String(cluster)) = task.get_mut("Cluster")
        && let Some((_, name)) = cluster.rsplit_once('/')
    {
        *cluster = name.to_owned();
    }
    task
}

fn fault(endpoint: &str, error: &io::Error) -> FactsFault {
    FactsFault {
        text: format!("`{endpoint}` does not tell of its task: {}", with_causes(error)),
        fix: "see that the container's agent runs, and is of version 1.39 or later",
        is_final: false,
    }
}
