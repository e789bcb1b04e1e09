//! The part of the control endpoint that is about the stream and its lease table.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Error, Result};

use super::fleet_words::{FleetView, NewRecords, PlacedRecord, Reshard, StreamTrouble, TableTrouble};
use super::kinesis::{Kinesis, shard_id};
use super::lines::Lines;
use super::state::State;

/// Where it begins, below the control endpoint.
pub(crate) const PREFIX: &str = "fleet/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    stream: String,
    run: u32,
}

/// Answers a request.
pub(crate) fn answer(state: &State, what: &str, body: &[u8]) -> Result<Vec<u8>> {
    match what {
        "open" => with(body, |shards: usize| state.kinesis().open(shards)),
        "put" => with(body, |new: NewRecords| put(state, &new)),
        "reshard" => with(body, |reshard: Reshard| change(&mut state.kinesis(), reshard)),
        "stream-trouble" => with(body, |trouble: StreamTrouble| {
            let mut kinesis = state.kinesis();
            (kinesis.throttles, kinesis.expired) = (trouble.throttles, trouble.expired);
            (kinesis.empty_pages, kinesis.failures) = (trouble.empty_pages, trouble.failures);
            kinesis.page = trouble.page;
        }),
        "table-trouble" => with(body, |trouble: TableTrouble| {
            let mut dynamodb = state.dynamodb();
            dynamodb.lost_answers = trouble.lost_answers;
            (dynamodb.throttles, dynamodb.stale_scans) = (trouble.throttles, trouble.stale_scans);
        }),
        "view" => with(body, |from: usize| view(state, from)),
        "again" => with(body, |of: Again| state.oracle().again(&of.stream, of.run)),
        _ => Err(Error::custom("open put reshard stream-trouble table-trouble view again")),
    }
}

fn with<I: DeserializeOwned, O: serde::Serialize>(body: &[u8], act: impl FnOnce(I) -> O) -> Result<Vec<u8>> {
    serde_json::to_vec(&act(serde_json::from_slice(body)?))
}

fn put(state: &State, new: &NewRecords) -> Vec<PlacedRecord> {
    let NewRecords { run, ref lines, each } = *new;
    state.oracle().expect(run, lines.end);
    let mut kinesis = state.kinesis();
    let open = kinesis.open_shards();
    let starts = lines.clone().step_by(usize::try_from(each).unwrap());
    let put = |start: u64| {
        let text = Lines::of_run(run).text(start..lines.end.min(start + each));
        // In turn over all that is put, and not only over this.
        let shard = open[usize::try_from(start / each).unwrap() % open.len()];
        PlacedRecord { shard: shard_id(shard), sequence: kinesis.put(shard, "k", &text) }
    };
    starts.map(put).collect()
}

/// How many shards were split, or pairs merged.
fn change(kinesis: &mut Kinesis, reshard: Reshard) -> usize {
    let Reshard { is_split, times, fewest, most, draw } = reshard;
    let mut done = 0;
    for turn in 0..times {
        let open = kinesis.open_shards();
        let at = draw.wrapping_add(turn * 7);
        if is_split && open.len() < most {
            kinesis.split(open[at % open.len()]);
        } else if !is_split && open.len() > fewest {
            let at = at % (open.len() - 1);
            kinesis.merge([open[at], open[at + 1]]);
        } else {
            break;
        }
        done += 1;
    }
    done
}

fn view(state: &State, from: usize) -> FleetView {
    let open = state.kinesis().open_shards().into_iter().map(shard_id).collect();
    let mut violations = state.kinesis().violations.clone();
    let dynamodb = state.dynamodb();
    violations.extend(dynamodb.violations.iter().cloned());
    let takes = dynamodb.takes.get(from..).unwrap_or_default().to_vec();
    FleetView { takes, rows: dynamodb.lease_rows(), open, violations }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::settings::Settings;

    fn ask<O: DeserializeOwned>(state: &State, what: &str, body: &str) -> O {
        serde_json::from_slice(&answer(state, what, body.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn records_go_to_the_open_shards_in_turn_and_shards_change_within_bounds() {
        let state = State::new(&Settings::default(), String::new());
        ask::<()>(&state, "open", "2");
        let placed: Vec<PlacedRecord> =
            ask(&state, "put", r#"{"run":1,"lines":{"start":0,"end":13},"each":5}"#);
        let shards: Vec<&str> = placed.iter().map(|record| &*record.shard).collect();
        assert_eq!(shards, [shard_id(0), shard_id(1), shard_id(0)]);
        let split = r#"{"is_split":true,"times":9,"fewest":2,"most":4,"draw":5}"#;
        assert_eq!(ask::<usize>(&state, "reshard", split), 2);
        let merge = split.replace("true", "false");
        assert_eq!(ask::<usize>(&state, "reshard", &merge), 2);
        assert_eq!(ask::<FleetView>(&state, "view", "0").open.len(), 2);
        assert!(answer(&state, "nothing", b"").is_err());
    }
}
