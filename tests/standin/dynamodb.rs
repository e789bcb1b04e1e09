//! Tables of `DynamoDB`: items by one key, conditional writes, and what goes wrong with them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::{Map, Value, json};

use super::errors::AwsError;
use super::fleet_words::{LeaseRow, LeaseTake, rank};
use super::sigv4;
use super::state::State;

const TARGET: &str = "DynamoDB_20120810.";

type Item = Map<String, Value>;

/// A table.
#[derive(Clone, Debug, Default)]
struct Table {
    key: String,
    items: BTreeMap<String, Item>,
}

/// All tables, and what goes wrong with them.
#[derive(Debug, Default)]
pub(crate) struct DynamoDb {
    tables: BTreeMap<String, Table>,
    /// So many writes are done next, and then answered 500.
    pub(crate) lost_answers: u32,
    /// So many calls are throttled next.
    pub(crate) throttles: u32,
    /// So many scans come before anything was written.
    pub(crate) late_scans: u32,
    /// So many scans that need not know the last writes find nothing of all of them.
    pub(crate) stale_scans: u32,
    /// Nobody may do anything.
    pub(crate) is_denied: bool,
    /// Items a page of a scan; 0: all.
    pub(crate) page: usize,
    /// Writes that met another than they expected.
    pub(crate) failed_conditions: u64,
    /// Calls by operation.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Every take of a lease.
    pub(crate) takes: Vec<LeaseTake>,
    /// What nobody should do.
    pub(crate) violations: Vec<String>,
}

impl DynamoDb {
    /// Makes a table with this key.
    pub(crate) fn create(&mut self, table: &str, key: &str) {
        let made = Table { key: key.to_owned(), items: BTreeMap::new() };
        self.tables.entry(table.to_owned()).or_insert(made);
    }

    /// Puts an item, as another program would.
    pub(crate) fn put(&mut self, table: &str, item: &Value) {
        let table = self.tables.get_mut(table).unwrap();
        let key = text(&item[&table.key]);
        table.items.insert(key, item.as_object().unwrap().clone());
    }

    /// An item of a table.
    pub(crate) fn item(&self, table: &str, key: &str) -> Option<Value> {
        Some(Value::Object(self.tables.get(table)?.items.get(key)?.clone()))
    }

    /// Changes an attribute, as another program would.
    pub(crate) fn set(&mut self, table: &str, key: &str, name: &str, value: Value) {
        self.tables.get_mut(table).unwrap().items.get_mut(key).unwrap().insert(name.to_owned(), value);
    }

    /// Removes an item, as another program would.
    pub(crate) fn delete(&mut self, table: &str, key: &str) {
        self.tables.get_mut(table).unwrap().items.remove(key);
    }

    /// How many leases each worker has, over all tables.
    pub(crate) fn owners(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for owner in self.tables.keys().flat_map(|table| self.column(table, "leaseOwner").into_values()) {
            *counts.entry(owner).or_default() += 1;
        }
        counts
    }

    /// Every lease, over all tables.
    pub(crate) fn lease_rows(&self) -> Vec<LeaseRow> {
        let items = self.tables.values().flat_map(|table| &table.items);
        let row = |(key, item): (&String, &Item)| {
            let [owner, checkpoint] = ["leaseOwner", "checkpoint"].map(|name| item.get(name).map(text));
            Some(LeaseRow { shard: key.clone(), owner, checkpoint: checkpoint? })
        };
        items.filter_map(row).collect()
    }

    /// What `name` is in each item that has it, by key.
    pub(crate) fn column(&self, table: &str, name: &str) -> BTreeMap<String, String> {
        let items = self.tables.get(table).into_iter().flat_map(|table| &table.items);
        items.filter_map(|(key, item)| Some((key.clone(), text(item.get(name)?)))).collect()
    }

    fn call(&mut self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        *self.calls.entry(operation.to_owned()).or_default() += 1;
        let name = input["TableName"].as_str().unwrap_or_default().to_owned();
        if operation == "CreateTable" {
            if self.tables.contains_key(&name) {
                return Err(AwsError::new(400, "ResourceInUseException", "Table already exists"));
            }
            self.create(&name, input["KeySchema"][0]["AttributeName"].as_str().unwrap());
            return Ok(json!({}));
        }
        let page = self.page;
        if operation == "Scan" && self.late_scans > 0 {
            self.late_scans -= 1;
            return Ok(json!({ "Items": [] }));
        }
        if operation == "Scan" && self.stale_scans > 0 && input["ConsistentRead"] != true {
            self.stale_scans -= 1;
            return Ok(json!({ "Items": [] }));
        }
        let absent = || AwsError::new(400, "ResourceNotFoundException", "Requested resource not found");
        let table = self.tables.get_mut(&name).ok_or_else(absent)?;
        match operation {
            "DescribeTable" => Ok(table.described()),
            "Scan" => Ok(table.scan(input, page)),
            "GetItem" => table.get(input),
            "PutItem" | "UpdateItem" | "DeleteItem" => {
                let (take, goes_back) = (table.take(input), table.goes_back(input));
                let written = table.write(operation, input);
                self.takes.extend(take.filter(|_| written.is_ok()));
                self.violations.extend(goes_back.filter(|_| written.is_ok()));
                if let Err(error) = &written {
                    self.failed_conditions += u64::from(error.code == "ConditionalCheckFailedException");
                }
                written
            }
            _ => Err(AwsError::new(404, "UnknownOperationException", operation)),
        }
    }
}

impl Table {
    fn described(&self) -> Value {
        json!({ "Table": { "TableStatus": "ACTIVE", "KeySchema": [{ "AttributeName": self.key, "KeyType": "HASH" }] } })
    }

    fn scan(&self, input: &Value, page: usize) -> Value {
        let after = input["ExclusiveStartKey"].get(&self.key).map(text);
        let most = if page == 0 { usize::MAX } else { page };
        let rest = self.items.iter().filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let taken: Vec<(&String, &Item)> = rest.take(most).collect();
        let items: Vec<Value> = taken.iter().map(|(_, item)| Value::Object((*item).clone())).collect();
        let mut answer = json!({ "Items": items });
        if taken.len() == most {
            let last = taken.last().unwrap().0;
            answer["LastEvaluatedKey"] = json!({ (&self.key): { "S": last } });
        }
        answer
    }

    fn key_of(&self, key: &Value) -> Result<String, AwsError> {
        let wrong = || invalid("The provided key element does not match the schema");
        key.get(&self.key).map(text).ok_or_else(wrong)
    }

    /// The take that a write will be, if it is one.
    fn take(&self, input: &Value) -> Option<LeaseTake> {
        input["UpdateExpression"].as_str()?.contains("leaseOwner = ").then_some(())?;
        let key = self.key_of(&input["Key"]).ok()?;
        let item = self.items.get(&key)?;
        let [from, checkpoint] = ["leaseOwner", "checkpoint"].map(|name| item.get(name).map(text));
        let to = text(&input["ExpressionAttributeValues"][":me"]);
        Some(LeaseTake { shard: key, from, to, checkpoint: checkpoint.unwrap_or_default() })
    }

    /// Says so, if a write is to move a position back.
    fn goes_back(&self, input: &Value) -> Option<String> {
        input["UpdateExpression"].as_str()?.contains("checkpoint = ").then_some(())?;
        let key = self.key_of(&input["Key"]).ok()?;
        let before = text(self.items.get(&key)?.get("checkpoint")?);
        let after = text(&input["ExpressionAttributeValues"][":mark"]);
        (rank(&after) < rank(&before)).then(|| format!("the position of {key} goes from {before} to {after}"))
    }

    fn get(&self, input: &Value) -> Result<Value, AwsError> {
        let found = self.items.get(&self.key_of(&input["Key"])?);
        Ok(found.map_or_else(|| json!({}), |item| json!({ "Item": item })))
    }

    fn write(&mut self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let whole = if operation == "PutItem" { &input["Item"] } else { &input["Key"] };
        let key = self.key_of(whole)?;
        let present = self.items.get(&key);
        let values = &input["ExpressionAttributeValues"];
        if let Some(condition) = input["ConditionExpression"].as_str()
            && !condition.split(" AND ").all(|part| holds(part, present, values))
        {
            return Err(AwsError::new(
                400,
                "ConditionalCheckFailedException",
                "The conditional request failed",
            ));
        }
        match operation {
            "PutItem" => drop(self.items.insert(key, input["Item"].as_object().unwrap().clone())),
            "DeleteItem" => drop(self.items.remove(&key)),
            _ => {
                let item = self.items.entry(key).or_insert_with(|| whole.as_object().unwrap().clone());
                update(item, input["UpdateExpression"].as_str().unwrap(), values)?;
            }
        }
        Ok(json!({}))
    }
}

/// Whether one part of a condition holds.
fn holds(part: &str, item: Option<&Item>, values: &Value) -> bool {
    let attribute = |name: &str| item.and_then(|item| item.get(name));
    let inside = |function: &str| part.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(name) = inside("attribute_not_exists") {
        return attribute(name).is_none();
    }
    if let Some(name) = inside("attribute_exists") {
        return attribute(name).is_some();
    }
    let (name, value) = part.split_once(" = ").unwrap();
    attribute(name) == Some(&values[value])
}

/// Changes an item as an expression of `SET`, `REMOVE` and `ADD` says.
fn update(item: &mut Item, expression: &str, values: &Value) -> Result<(), AwsError> {
    for (verb, rest) in clauses(expression) {
        for action in rest.split(", ").map(str::trim) {
            match verb {
                "SET" => {
                    let (name, value) = action.split_once(" = ").ok_or_else(|| invalid(action))?;
                    let value = match value.split_once(" + ") {
                        Some((of, more)) => sum(item.get(of).ok_or_else(|| invalid(of))?, &values[more]),
                        None => values[value].clone(),
                    };
                    item.insert(name.to_owned(), value);
                }
                "REMOVE" => drop(item.remove(action)),
                _ => {
                    let (name, more) = action.split_once(' ').ok_or_else(|| invalid(action))?;
                    let zero = json!({ "N": "0" });
                    let value = sum(item.get(name).unwrap_or(&zero), &values[more]);
                    item.insert(name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

/// Each verb with what follows it.
fn clauses(expression: &str) -> Vec<(&'static str, &str)> {
    let verbs: [&'static str; 3] = ["SET ", "REMOVE ", "ADD "];
    let mut starts: Vec<(usize, &'static str)> =
        verbs.iter().filter_map(|verb| Some((expression.find(verb)?, *verb))).collect();
    starts.sort_unstable();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([expression.len()]);
    let clause = |((at, verb), end): (&(usize, &'static str), usize)| {
        (verb.trim(), expression.get(at + verb.len()..end).unwrap().trim())
    };
    starts.iter().zip(ends).map(clause).collect()
}

fn sum(a: &Value, b: &Value) -> Value {
    let number = |value: &Value| value["N"].as_str().unwrap().parse::<i64>().unwrap();
    json!({ "N": (number(a) + number(b)).to_string() })
}

/// An attribute's text or number.
fn text(value: &Value) -> String {
    value["S"].as_str().or_else(|| value["N"].as_str()).unwrap_or_default().to_owned()
}

fn invalid(message: &str) -> AwsError {
    AwsError::new(400, "ValidationException", message)
}

/// Whether a call is one.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    parts.headers.get("x-amz-target").is_some_and(|is| is.as_bytes().starts_with(TARGET.as_bytes()))
}

/// Answers it.
pub(crate) fn answer(state: &State, parts: &Parts, body: &[u8]) -> Response<Bytes> {
    match call(state, parts, body) {
        Ok(reply) => Response::builder()
            .header("content-type", "application/x-amz-json-1.0")
            .body(Bytes::from(reply.to_string()))
            .unwrap(),
        Err(error) => error.json(),
    }
}

fn call(state: &State, parts: &Parts, body: &[u8]) -> Result<Value, AwsError> {
    let caller = sigv4::verify(state, parts, body, "dynamodb")?;
    let input: Value =
        serde_json::from_slice(body).map_err(|_| AwsError::new(400, "SerializationException", "not JSON"))?;
    let operation = parts.headers["x-amz-target"].to_str().unwrap().strip_prefix(TARGET).unwrap();
    let mut dynamodb = state.dynamodb();
    if dynamodb.is_denied {
        let message =
            format!("User: {} is not authorized to perform: dynamodb:{operation}", caller.principal);
        return Err(AwsError::new(400, "AccessDeniedException", message));
    }
    if dynamodb.throttles > 0 {
        dynamodb.throttles -= 1;
        return Err(AwsError::new(400, "ProvisionedThroughputExceededException", "slower"));
    }
    let answered = dynamodb.call(operation, &input);
    let is_write = matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem");
    if is_write && answered.is_ok() && dynamodb.lost_answers > 0 {
        dynamodb.lost_answers -= 1;
        return Err(AwsError::new(500, "InternalServerError", "it was done, and nobody knows"));
    }
    answered
}
