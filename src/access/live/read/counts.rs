//! Looks at what `CloudWatch` counts of log groups and streams.

use serde_json::{Map, Value, json};

use super::reader::{AccountReader, PageNames, ReadResult, list, text};
use super::{ResourceState, extra};
use crate::aws::AwsService;
use crate::event::Timestamp;

/// How far back is looked, in milliseconds.
const WINDOW: i64 = 3_600_000;

/// What is counted of a log group and of its filters.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html>.
const OF_GROUP: [&str; 4] =
    ["IncomingLogEvents", "ForwardedLogEvents", "DeliveryErrors", "DeliveryThrottling"];

/// What is told of a stream's quota, and of what was refused for it.
///
/// Source: <https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html>.
const OF_STREAM: [(&str, &str); 4] = [
    ("BytesPerSecondLimit", "Maximum"),
    ("RecordsPerSecondLimit", "Maximum"),
    ("PutRequestsPerSecondLimit", "Maximum"),
    ("ThrottledRecords", "Sum"),
];

/// Most metrics of a group that are asked for; a call takes 500.
const MOST_METRICS: usize = 400;

impl AccountReader<'_> {
    /// What came into a log group within the last hour, and what became of it at its filters.
    pub(super) async fn deliveries(&self, group: &str) -> ReadResult<ResourceState> {
        // The kind of a destination is a dimension too, so that only a list tells which metrics there are.
        let input = json!({ "Namespace": "AWS/Logs", "RecentlyActive": "PT3H",
            "Dimensions": [{ "Name": "LogGroupName", "Value": group }] });
        let metrics = self.metrics("ListMetrics", input, "Metrics").await?;
        let is_meant = |metric: &&Value| OF_GROUP.contains(&text(metric, "/MetricName"));
        let metrics: Vec<&Value> = metrics.iter().filter(is_meant).take(MOST_METRICS).collect();
        let queries = metrics.iter().map(|metric| ((*metric).clone(), "Sum")).collect();
        let mut counts = Map::new();
        for (metric, values) in metrics.iter().zip(self.values(queries, 60).await?) {
            count(&mut counts, metric, values.iter().sum());
        }
        Ok(ResourceState::from([(extra::COUNTS, counts.into())]))
    }

    /// A stream's quota, and what was refused for it within the last hour.
    pub(super) async fn quota(&self, stream: &str) -> ReadResult<ResourceState> {
        let metric = |(name, statistic)| {
            let dimensions = json!([{ "Name": "DeliveryStreamName", "Value": stream }]);
            (json!({ "Namespace": "AWS/Firehose", "MetricName": name, "Dimensions": dimensions }), statistic)
        };
        let found = self.values(OF_STREAM.map(metric).into(), 300).await?;
        let mut counts = Map::new();
        for ((name, statistic), values) in OF_STREAM.into_iter().zip(found) {
            // The newest comes first.
            let value = if statistic == "Sum" { Some(values.iter().sum()) } else { values.first().copied() };
            counts.extend(value.map(|value| (name.to_owned(), json!(value))));
        }
        Ok(ResourceState::from([(extra::COUNTS, counts.into())]))
    }

    /// The values of metrics within the last hour, the newest first, for each with a statistic of periods of `period` seconds.
    async fn values(&self, queries: Vec<(Value, &str)>, period: u32) -> ReadResult<Vec<Vec<f64>>> {
        let mut values = vec![Vec::new(); queries.len()];
        if queries.is_empty() {
            return Ok(values);
        }
        let query = |(index, (metric, statistic)): (usize, (Value, &str))| {
            let what = json!({ "Metric": metric, "Period": period, "Stat": statistic });
            json!({ "Id": format!("m{index}"), "MetricStat": what, "ReturnData": true })
        };
        let queries: Vec<Value> = queries.into_iter().enumerate().map(query).collect();
        let now = Timestamp::now();
        let input = json!({ "MetricDataQueries": queries, "ScanBy": "TimestampDescending",
            "StartTime": Timestamp(now.0.saturating_sub(WINDOW)).to_rfc3339(), "EndTime": now.to_rfc3339() });
        for result in self.metrics("GetMetricData", input, "MetricDataResults").await? {
            let index = text(&result, "/Id").trim_start_matches('m').parse().unwrap_or(usize::MAX);
            let Some(values) = values.get_mut(index) else { continue };
            values.extend(
                list(&result, "/Values").iter().filter_map(|value| value.as_str()?.parse::<f64>().ok()),
            );
        }
        Ok(values)
    }

    async fn metrics(&self, operation: &'static str, input: Value, list: &str) -> ReadResult<Vec<Value>> {
        let input = if let Value::Object(input) = input { input } else { Map::new() };
        self.all(AwsService::CloudWatch, operation, input, PageNames { items: list, token: "NextToken" })
            .await
    }
}

/// Counts a metric for its filter, or for the group. One filter may have several that tell the same with more dimensions.
fn count(counts: &mut Map<String, Value>, metric: &Value, value: f64) {
    let dimensions = list(metric, "/Dimensions");
    let filter = dimensions.iter().find(|dimension| text(dimension, "/Name") == "FilterName");
    let of = filter.map_or("", |filter| text(filter, "/Value"));
    // What the group as a whole forwards is none of a filter's.
    if filter.is_none() && text(metric, "/MetricName") != "IncomingLogEvents" {
        return;
    }
    let counted = counts.entry(of).or_insert_with(|| json!({}));
    let Some(counted) = counted.as_object_mut() else { return };
    let name = text(metric, "/MetricName");
    let known = counted.get(name).and_then(Value::as_f64).unwrap_or_default();
    counted.insert(name.to_owned(), json!(known.max(value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_twice_of_a_filter_is_counted_once() {
        let metric = |name: &str, dimensions: &[(&str, &str)]| {
            let dimension = |(name, value): &(&str, &str)| json!({ "Name": name, "Value": value });
            json!({ "MetricName": name, "Dimensions": dimensions.iter().map(dimension).collect::<Vec<_>>() })
        };
        let group = ("LogGroupName", "g");
        let filter = ("FilterName", "f");
        let mut counts = Map::new();
        for (metric, value) in [
            (metric("IncomingLogEvents", &[group]), 9.0),
            (metric("ForwardedLogEvents", &[group]), 9.0),
            (metric("ForwardedLogEvents", &[group, filter, ("DestinationType", "x")]), 8.0),
            (metric("ForwardedLogEvents", &[group, filter, ("PolicyLevel", "y")]), 7.0),
            (metric("DeliveryErrors", &[group, ("FilterName", "other")]), 3.0),
        ] {
            count(&mut counts, &metric, value);
        }
        let expected = json!({ "": { "IncomingLogEvents": 9.0 }, "f": { "ForwardedLogEvents": 8.0 },
            "other": { "DeliveryErrors": 3.0 } });
        assert_eq!(Value::Object(counts), expected);
    }
}
