//! The destination: what it leads to, who may subscribe to it, and the role that writes there.

use super::ask::{Ask, Holder, Of, Sources, all, context};
use super::keys::{Key, Use, through};
use super::senders::{differing, logs, pass_role, trusts};
use super::view::{Item, View};
use crate::access::doctor::{Finding, Hop, Level};
use crate::access::live::Access;
use crate::access::plan::Kind;
use crate::access::policy::{Caller, Context, Decision, Side};
use crate::config::topology::{Account, Destination, Scope, Subscription, Target};

/// The destination, if there is one.
pub(super) fn hop(view: View<'_>) -> Option<Hop> {
    let destination = view.topology.destination.as_ref()?;
    let item = view.find(&destination.account, |kind| matches!(kind, Kind::Destination { .. }))?;
    let name = format!("destination {} of {}", destination.name, destination.account.name);
    Some(Hop { name, findings: findings(view, destination, item) })
}

fn findings<'a>(view: View<'a>, destination: &'a Destination, item: Item<'a>) -> Vec<Finding> {
    const CHECK: &str = "destination";
    let Kind::Destination { target, role, .. } = &item.resource.kind else { return Vec::new() };
    if let Err(missing) =
        item.there(CHECK, "filters of other accounts lead here, and have nowhere to send to")
    {
        return pass_role(view, item, role).into_iter().chain([*missing]).collect();
    }
    let mut findings = vec![Finding::ok(CHECK, format!("{} is there", item.title()))];
    findings.extend(policies(view, destination, item));
    findings.push(leads(item, target));
    let found = item.text("role").unwrap_or_default();
    if found != role {
        findings.extend(pass_role(view, item, role));
    }
    findings.extend(writer(view, destination, item, found, role));
    findings
}

fn leads(item: Item<'_>, target: &str) -> Finding {
    const CHECK: &str = "destination_target";
    let found = item.text("target").unwrap_or_default();
    if found == target {
        return Finding::ok(CHECK, format!("it leads to `{found}`"));
    }
    let seen = format!("it leads to `{found}`, not to `{target}`{}", differing(found, target));
    Finding::failure(CHECK, seen)
        .why("what is sent to it arrives somewhere else, or nowhere")
        .fix(item.repair("let it lead to the stream", &["target"]))
}

/// Each account of another's that subscribes is let in.
fn policies<'a>(view: View<'a>, destination: &'a Destination, item: Item<'a>) -> Vec<Finding> {
    const CHECK: &str = "destination_policy";
    const WHY: &str = "AWS refuses the sender's filter without it";
    let mut findings: Vec<Finding> = Vec::new();
    let mut asked: Vec<(&str, bool)> = Vec::new();
    for Subscription { account, scope, .. } in &view.topology.subscriptions {
        let is_whole = matches!(scope, Scope::Account { .. });
        if account.name == destination.account.name || asked.contains(&(&account.name, is_whole)) {
            continue;
        }
        asked.push((&account.name, is_whole));
        let both = ["logs:PutSubscriptionFilter", "logs:PutAccountPolicy"];
        let actions = both.iter().take(if is_whole { 2 } else { 1 });
        let asks: Vec<Ask<'_>> =
            actions.map(|action| subscribes(view, destination, account, (item, action))).collect();
        let mut finding = all(CHECK, WHY, &asks);
        finding.seen = format!("account {} ({}): {}", account.name, account.place.account, finding.seen);
        findings.push(finding);
    }
    findings
}

/// Whether an account may subscribe: whoever it lets, or whoever looks in its name.
fn subscribes<'a>(
    view: View<'a>,
    destination: &Destination,
    account: &Account,
    (item, action): (Item<'a>, &'static str),
) -> Ask<'a> {
    let owner = item.account();
    let ask = |caller| Ask {
        caller,
        action,
        resource: owner.place.destination(&destination.name).to_string(),
        owner: owner.place.account.clone(),
        context: organized(view, context(), "aws:PrincipalOrgID"),
        holder: None,
        of: Of::Optional(Sources::of(item, "policy")),
    };
    let whole = ask(Caller::Root(account.place.root()));
    let Some(Access::As(arn)) = view.seen.accounts.get(&account.name) else { return whole };
    let Some(caller) = arn.parse().ok().as_ref().and_then(Caller::from_arn) else { return whole };
    let own = ask(caller);
    // The policies of the person are not the question here: only whether the destination would let this one in.
    let answer = own.answer();
    let is_barred = match &answer.decision {
        Decision::Allowed { .. } => false,
        Decision::Denied { .. } => true,
        Decision::Missing { gaps } | Decision::Undecided { gaps, .. } => {
            gaps.iter().any(|gap| gap.side == Side::Resource)
        }
    };
    if whole.answer().is_allowed() || is_barred { whole } else { own }
}

/// With the organization that the topology names.
fn organized(view: View<'_>, context: Context, key: &str) -> Context {
    match &view.topology.organization {
        Some(id) => context.with(key, [id.as_str()]),
        None => context,
    }
}

/// The role that `CloudWatch` Logs writes with.
fn writer<'a>(
    view: View<'a>,
    destination: &'a Destination,
    item: Item<'a>,
    found: &str,
    wanted: &str,
) -> Vec<Finding> {
    const CHECK: &str = "destination_role";
    const WHY: &str = "CloudWatch Logs writes to the stream as this role";
    let Some(role) = view.role(found) else {
        let seen = format!("it writes as `{found}`, not as `{wanted}`{}", differing(found, wanted));
        let finding = if found.contains(&format!(":{}:", destination.account.place.account)) {
            Finding::warning(CHECK, format!("{seen}: that one was not looked at"))
        } else {
            Finding::failure(CHECK, seen)
        };
        return vec![finding.why(WHY).fix(item.repair("let it write as the role", &["role"]))];
    };
    if let Err(missing) = role.there(CHECK, WHY) {
        return vec![*missing];
    }
    vec![trust(view, destination, role), permissions(view, destination, role)]
        .into_iter()
        .chain(encrypts(view, destination, role))
        .collect()
}

/// It trusts `CloudWatch` Logs for all who send, and for the destination's own account, from which the first message comes.
fn trust<'a>(view: View<'a>, destination: &'a Destination, role: Item<'a>) -> Finding {
    let own: &Account = &destination.account;
    let mut accounts: Vec<&Account> = vec![own];
    for Subscription { account, .. } in &view.topology.subscriptions {
        if !accounts.iter().any(|known| known.name == account.name) {
            accounts.push(account);
        }
    }
    let sources: Vec<(&Account, String)> = accounts
        .into_iter()
        .map(|account| (account, account.place.log_group("standpipe", true).to_string()))
        .collect();
    let mut asks = trusts(role, &logs(own), &sources);
    for ask in &mut asks {
        ask.context = organized(view, ask.context.clone(), "aws:SourceOrgID");
    }
    let why = "CloudWatch Logs assumes it for each account that sends, and first for the destination's own";
    all("destination_trust", why, &asks)
}

fn permissions<'a>(view: View<'a>, destination: &'a Destination, role: Item<'a>) -> Finding {
    let holder = Holder::of(role);
    let kinesis = view.topology.kinesis.as_ref();
    let stream = kinesis
        .and_then(|kinesis| view.find(&kinesis.account, |kind| matches!(kind, Kind::DataStream { .. })));
    let (arn, actions): (_, &[&'static str]) = match (destination.target, &view.topology.stream, kinesis) {
        (Target::Stream, Some(stream), _) => {
            let arn = stream.account.place.delivery_stream(&stream.name);
            (arn, &["firehose:PutRecord", "firehose:PutRecordBatch"])
        }
        (Target::Kinesis, _, Some(kinesis)) => {
            (kinesis.account.place.stream(&kinesis.name), &["kinesis:PutRecord"])
        }
        (Target::Stream | Target::Kinesis, _, _) => {
            return Finding::new("destination_permissions", Level::Skipped, "it leads nowhere");
        }
    };
    let asks: Vec<Ask<'_>> = holder
        .iter()
        .flat_map(|holder| actions.iter().map(move |action| (holder, *action)))
        .map(|(holder, action)| Ask {
            caller: holder.caller.clone(),
            action,
            resource: arn.to_string(),
            owner: arn.account.clone(),
            context: context(),
            holder: Some(holder),
            of: match destination.target {
                Target::Stream => Of::Nothing,
                Target::Kinesis => Of::Optional(Sources::of_stream(stream)),
            },
        })
        .collect();
    all("destination_permissions", "CloudWatch Logs puts what is sent with this role", &asks)
}

/// The key of a Kinesis stream.
fn encrypts(view: View<'_>, destination: &Destination, role: Item<'_>) -> Option<Finding> {
    let kinesis = view.topology.kinesis.as_ref().filter(|_| destination.target == Target::Kinesis)?;
    let stream = view.find(&kinesis.account, |kind| matches!(kind, Kind::DataStream { .. }))?;
    let key = Key::of(view, &kinesis.account, stream.text("kmsKey")?);
    let holder = Holder::of(role)?;
    let arn = kinesis.account.place.stream(&kinesis.name).to_string();
    let by = Use {
        caller: holder.caller.clone(),
        holder: Some(&holder),
        actions: &["kms:GenerateDataKey"],
        context: through(&kinesis.account, "kinesis").with("kms:EncryptionContext:aws:kinesis:arn", [arn]),
    };
    key.used("destination_key", "records that are put have to be encrypted with the stream's key", &by)
}
