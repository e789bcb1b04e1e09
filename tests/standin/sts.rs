//! `AssumeRole` and `GetCallerIdentity` of STS, `GetRole` and `SimulatePrincipalPolicy` of IAM, in the query protocol.

use std::collections::HashMap;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::errors::AwsError;
use super::settings::Role;
use super::sigv4;
use super::state::{Caller, Session, State, lock};

/// Answers a call of STS.
pub(crate) fn answer(state: &State, parts: &Parts, body: &[u8]) -> Response<Bytes> {
    let form = Form::parse(body);
    let is_iam = matches!(form.get("Action"), "GetRole" | "SimulatePrincipalPolicy");
    let service = if is_iam { "iam" } else { "sts" };
    let answered = sigv4::verify(state, parts, body, service).and_then(|caller| match form.get("Action") {
        "GetRole" => get_role(state, &caller, form.get("RoleName")),
        "SimulatePrincipalPolicy" => simulate(state, &caller, form.get("PolicySourceArn")),
        "AssumeRole" => assume_role(state, &caller, &form),
        "GetCallerIdentity" => Ok(caller_identity(&caller)),
        action => {
            let message = format!("Could not find operation {action} for version 2011-06-15");
            Err(AwsError::new(400, "InvalidAction", message))
        }
    });
    match answered {
        Ok(xml) => Response::builder().header("content-type", "text/xml").body(Bytes::from(xml)).unwrap(),
        Err(error) => {
            state.oracle().error(error.code);
            error.xml()
        }
    }
}

fn assume_role(state: &State, caller: &Caller, form: &Form) -> Result<String, AwsError> {
    let arn = form.get("RoleArn");
    let session_name = form.get("RoleSessionName");
    let seconds = form.get("DurationSeconds");
    check_request(caller, session_name, seconds)?;
    // The same text for a missing role, a missing right and an external id that differs: so does the service.
    let role = state.role(arn).filter(|role| trusts(role, caller, form)).ok_or_else(|| {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            caller.principal
        );
        AwsError::new(403, "AccessDenied", message)
    })?;
    let made = issue(state, &role, session_name);
    state.oracle().plain.assumed += 1;
    let session = made.session.as_ref().unwrap();
    let expiration = aws_smithy_types::DateTime::from_secs(session.expires)
        .fmt(aws_smithy_types::date_time::Format::DateTime)
        .unwrap();
    Ok(format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser>\
         <AssumedRoleId>AROASTANDINEXAMPLE00:{session_name}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>{METADATA}</AssumeRoleResponse>",
        made.principal, made.key, made.secret, session.token
    ))
}

const METADATA: &str =
    "<ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata>";

fn check_request(caller: &Caller, session_name: &str, seconds: &str) -> Result<(), AwsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&session_name.len()) || !session_name.chars().all(allowed) {
        let message = format!(
            "1 validation error detected: Value '{session_name}' at 'roleSessionName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [\\w+=,.@-]*"
        );
        return Err(AwsError::new(400, "ValidationError", message));
    }
    let longest = if caller.session.is_some() { 3_600 } else { 43_200 };
    let fits =
        seconds.is_empty() || seconds.parse().is_ok_and(|seconds: u32| (900..=longest).contains(&seconds));
    if !fits {
        let message =
            format!("The requested DurationSeconds {seconds} is not in 900..={longest} for this role.");
        return Err(AwsError::new(400, "ValidationError", message));
    }
    Ok(())
}

fn trusts(role: &Role, caller: &Caller, form: &Form) -> bool {
    let names = |trusted: &String| {
        *trusted == caller.account
            || *trusted == format!("arn:aws:iam::{}:root", caller.account)
            || *trusted == caller.principal
            || caller.session.as_ref().is_some_and(|session| *trusted == session.role)
    };
    let external_id = role.external_id.as_deref();
    role.principals.iter().any(names) && external_id.is_none_or(|wanted| form.get("ExternalId") == wanted)
}

fn issue(state: &State, role: &Role, session_name: &str) -> Caller {
    let mut rng = lock(&state.rng).fork();
    let mut random = |len: usize| (0..len).map(|_| rng.alphanumeric()).collect::<String>();
    let caller = Caller {
        key: format!("ASIA{}", random(16).to_ascii_uppercase()),
        secret: random(40),
        account: role.account().to_owned(),
        principal: format!("arn:aws:sts::{}:assumed-role/{}/{session_name}", role.account(), role.name()),
        session: Some(Session {
            role: role.arn.clone(),
            token: random(200),
            expires: sigv4::now_seconds() + i64::from(role.lifetime_seconds),
        }),
    };
    state.add_caller(caller.clone());
    caller
}

fn caller_identity(caller: &Caller) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{}</Arn><UserId>AIDASTANDINEXAMPLE00</UserId><Account>{}</Account></GetCallerIdentityResult>{METADATA}\
         </GetCallerIdentityResponse>",
        caller.principal, caller.account
    )
}

/// A role of the caller's account.
fn get_role(state: &State, caller: &Caller, name: &str) -> Result<String, AwsError> {
    let arn = format!("arn:aws:iam::{}:role/{name}", caller.account);
    let role = state.role(&arn).ok_or_else(|| {
        AwsError::new(404, "NoSuchEntity", format!("The role with name {name} cannot be found."))
    })?;
    let condition = role.external_id.as_ref().map_or_else(
        || serde_json::json!({}),
        |id| serde_json::json!({ "StringEquals": { "sts:ExternalId": id } }),
    );
    let trust = serde_json::json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "Trust", "Effect": "Allow", "Principal": { "AWS": role.principals }, "Action": "sts:AssumeRole",
        "Condition": condition,
    }] });
    let trust = utf8_percent_encode(&trust.to_string(), NON_ALPHANUMERIC).to_string();
    Ok(format!(
        "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role><Path>/</Path>\
         <RoleName>{name}</RoleName><RoleId>AROASTANDINEXAMPLE00</RoleId><Arn>{arn}</Arn>\
         <CreateDate>2026-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument></Role>\
         </GetRoleResult>{METADATA}</GetRoleResponse>"
    ))
}

/// Whether a role may put, told to a session of the role.
fn simulate(state: &State, caller: &Caller, arn: &str) -> Result<String, AwsError> {
    let is_own = caller.session.as_ref().is_some_and(|session| session.role == arn);
    let role = state.role(arn).filter(|role| is_own && role.may_simulate).ok_or_else(|| {
        let action = "iam:SimulatePrincipalPolicy";
        let message =
            format!("User: {} is not authorized to perform: {action} on resource: {arn}", caller.principal);
        AwsError::new(403, "AccessDenied", message)
    })?;
    let (decision, matched) = if role.may_put {
        let at = "<StartPosition><Line>3</Line><Column>5</Column></StartPosition>";
        ("allowed", format!("<member><SourcePolicyId>put</SourcePolicyId>{at}</member>"))
    } else {
        ("implicitDeny", String::new())
    };
    Ok(format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><SimulatePrincipalPolicyResult>\
         <IsTruncated>false</IsTruncated><EvaluationResults><member><EvalActionName>firehose:PutRecordBatch</EvalActionName>\
         <MatchedStatements>{matched}</MatchedStatements><MissingContextValues/><EvalDecision>{decision}</EvalDecision></member>\
         </EvaluationResults></SimulatePrincipalPolicyResult>{METADATA}</SimulatePrincipalPolicyResponse>"
    ))
}

/// A form, percent-decoded.
struct Form(HashMap<String, String>);

impl Form {
    fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// A member, or nothing as the empty text.
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (digit(rest.next()).unwrap_or(0), digit(rest.next()).unwrap_or(0));
                u8::try_from(high * 16 + low).unwrap_or(0)
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
