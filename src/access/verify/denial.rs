//! A statement that denies what logs need: how little of it has to go, and what it denies besides.

use crate::access::policy::document::{Comparison, Negatable, PolicyCondition, PolicyDocument, Statement};
use crate::access::policy::{ReadPolicy, RequestPrincipal};

/// A statement that denies, and whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Denial<'a> {
    /// The policy that it stands in.
    pub(super) policy: &'a ReadPolicy,
    /// Which statement, from 1.
    pub(super) number: usize,
    /// Who is denied.
    pub(super) caller: &'a RequestPrincipal,
    /// All that is needed of the same thing.
    pub(super) actions: &'a [&'static str],
}

/// A policy without a denial, and how that is said.
pub(super) struct Relieved {
    pub(super) document: PolicyDocument,
    pub(super) text: String,
}

impl Denial<'_> {
    /// The policy with the caller excepted from the denial, which stays for all others; `name` is what the policy is called. None
    /// for a policy that cannot be read to its end.
    pub(super) fn excepting(&self, name: &str) -> Option<Relieved> {
        let mut document = self.policy.whole()?.clone();
        let statement = document.statements.get_mut(self.number.checked_sub(1)?)?;
        let text = format!(
            "except `{}` from {} of {name}, after checking why it is there: it stays for all others{}",
            self.caller.principal(),
            self.called(statement),
            also(statement, self.actions, ", and no longer denies this one"),
        );
        except(statement, self.caller);
        Some(Relieved { document, text })
    }

    /// The same for a policy that is the caller's alone: only what is needed is taken out, where that stands by itself.
    pub(super) fn without(&self, name: &str) -> Option<Relieved> {
        let mut document = self.policy.whole()?.clone();
        let index = self.number.checked_sub(1)?;
        let statement = document.statements.get_mut(index)?;
        let called = self.called(statement);
        let rest = self.rest(statement);
        if let Some(rest) = rest {
            let text = format!(
                "take {} out of {called} of {name}, after checking why it is there; it still denies {}",
                quoted(&without_rest(statement, &rest)),
                quoted(&rest),
            );
            statement.actions = Negatable::Is(rest);
            return Some(Relieved { document, text });
        }
        let also = also(statement, self.actions, ": with it, nothing denies any more");
        let text = format!("take {called} out of {name}, after checking why it is there{also}");
        document.statements.remove(index);
        Some(Relieved { document, text })
    }

    /// The statement, as it is called.
    fn called(&self, statement: &Statement) -> String {
        let sid = statement.sid.as_ref().map(|sid| format!(" `{sid}`")).unwrap_or_default();
        format!("the denial in statement {}{sid}", self.number)
    }

    /// What a statement still denies when the actions that are needed are taken out; none where they do not stand by themselves, or
    /// nothing is left.
    fn rest(&self, statement: &Statement) -> Option<Vec<String>> {
        let Negatable::Is(actions) = &statement.actions else { return None };
        let is_needed =
            |action: &&String| self.actions.iter().any(|needed| needed.eq_ignore_ascii_case(action));
        let rest: Vec<String> = actions.iter().filter(|action| !is_needed(action)).cloned().collect();
        let is_plain = rest.iter().all(|action| !action.contains(['*', '?']));
        (is_plain && !rest.is_empty() && rest.len() < actions.len()).then_some(rest)
    }

    /// What is said where a policy cannot be read to its end, and is not replaced.
    pub(super) fn by_hand(&self, name: &str) -> String {
        let index = self.number.checked_sub(1);
        let statement = index.and_then(|index| self.policy.document.statements.get(index));
        let also = statement
            .map(|statement| also(statement, self.actions, "; it denies besides"))
            .unwrap_or_default();
        format!("remove the denial from {name}, or except the caller, after checking why it is there{also}")
    }
}

/// One more condition: the statement is about all callers but this one.
fn except(statement: &mut Statement, caller: &RequestPrincipal) {
    let (test, key, values) = match caller {
        RequestPrincipal::Service { names } => {
            (Comparison::StringNotEquals, "aws:PrincipalServiceName", names.clone())
        }
        RequestPrincipal::User(_)
        | RequestPrincipal::Session { .. }
        | RequestPrincipal::Root(_)
        | RequestPrincipal::FederatedUser { .. }
        | RequestPrincipal::Federated { .. }
        | RequestPrincipal::Anonymous => {
            (Comparison::ArnNotEquals, "aws:PrincipalArn", vec![caller.principal()])
        }
    };
    let exception = PolicyCondition::new(test, key, values);
    let is_same = |condition: &&mut PolicyCondition| {
        condition.operator == exception.operator && condition.key.eq_ignore_ascii_case(key)
    };
    match statement.conditions.iter_mut().find(is_same) {
        // None of several: so one more value excepts one more caller.
        Some(condition) => condition.values.extend(exception.values),
        None => statement.conditions.push(exception),
    }
}

/// What a statement denies beside `needed`, after these words; nothing where there is nothing.
fn also(statement: &Statement, needed: &[&str], words: &str) -> String {
    let others = match &statement.actions {
        Negatable::Is(actions) => {
            let is_other = |action: &&String| !needed.iter().any(|it| it.eq_ignore_ascii_case(action));
            quoted(&actions.iter().filter(is_other).cloned().collect::<Vec<_>>())
        }
        Negatable::Not(actions) => format!("anything but {}", quoted(actions)),
    };
    if others.is_empty() { others } else { format!("{words} {others}") }
}

fn without_rest(statement: &Statement, rest: &[String]) -> Vec<String> {
    statement.actions.written().iter().filter(|action| !rest.contains(action)).cloned().collect()
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
}
