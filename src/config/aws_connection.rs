//! Reads how AWS is reached: the same keys for every source and sink that speaks to it.

use std::time::Duration;

use super::misfit::Misfit;
use super::section::{Section, expected};
use super::template::{LONGEST_NAME, is_session_char};
use super::tree::Node;
use super::types::{AssumeRole, AwsSettings, Template, TemplateField, TemplatePiece};
use super::values::{Parsed, duration, endpoint, flag, path, string, string_that};
use crate::arn::{Arn, ResourceType, is_account};
use crate::event::Field;

/// What holds where nothing is set.
impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            region: None,
            profile: None,
            assume_role: Vec::new(),
            endpoint_url: None,
            ca_file: None,
            use_fips: false,
            use_dual_stack: false,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl AwsSettings {
    /// The fields that its names are made from.
    pub fn fields(&self) -> impl Iterator<Item = TemplateField> {
        let roles =
            self.assume_role.iter().flat_map(|role| role.arn.fields().chain(role.session_name.fields()));
        self.region.iter().flat_map(Template::fields).chain(roles)
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// Reads the keys of a connection to AWS from the table of whoever has one; none when a role of it is wrong.
pub(super) fn aws_settings(section: &mut Section<'_>) -> Option<AwsSettings> {
    let unset = AwsSettings::default();
    let region = section.optional("region", region);
    let profile = section.optional("profile", string);
    let assume_role = assume_role(section);
    let endpoint_url = section.optional("endpoint_url", endpoint);
    let ca_file = section.optional("ca_file", path);
    let use_fips = section.or("use_fips", false, flag);
    let use_dual_stack = section.or("use_dual_stack", false, flag);
    for (key, used) in [("use_fips", use_fips), ("use_dual_stack", use_dual_stack)] {
        if used && endpoint_url.is_some() {
            section.problem(key, "cannot be combined with `endpoint_url`; remove one of them");
        }
    }
    let (tenth, minute) = (Duration::from_millis(100), Duration::from_mins(1));
    let connect_timeout = section.or("connect_timeout", unset.connect_timeout, duration(tenth..=minute));
    let request_timeout = section.or("request_timeout", unset.request_timeout, duration(tenth..=5 * minute));
    Some(AwsSettings {
        region,
        profile,
        assume_role: assume_role?,
        endpoint_url,
        ca_file,
        use_fips,
        use_dual_stack,
        connect_timeout,
        request_timeout,
    })
}

/// The same for who reads: what names are made from has to be known before any event is.
pub(super) fn fixed_settings(section: &mut Section<'_>) -> Option<AwsSettings> {
    let settings = aws_settings(section)?;
    check_names(section, &settings);
    Some(settings)
}

/// Names that are made once cannot depend on events.
pub(super) fn check_names(section: &Section<'_>, settings: &AwsSettings) {
    let of_events =
        settings.fields().find(|field| matches!(field, TemplateField::Origin(_) | TemplateField::Label(_)));
    if let Some(field) = of_events {
        let problem = format!(
            "uses `{{{field}}}`, which depends on events; only `{{source}}` and `{{host}}` are known before any is read"
        );
        section.problem("assume_role", problem);
    }
}

fn assume_role(section: &mut Section<'_>) -> Option<Vec<AssumeRole>> {
    let tables = section.tables("assume_role")?;
    let n_roles = tables.len();
    let role = |(index, table)| role(table, index);
    let roles: Vec<AssumeRole> = tables.into_iter().enumerate().filter_map(role).collect();
    (roles.len() == n_roles).then_some(roles)
}

/// STS's limits: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
fn role(mut section: Section<'_>, index: usize) -> Option<AssumeRole> {
    const LEAST: Duration = Duration::from_mins(15);
    /// What a role that assumes another gets at most.
    const MOST_CHAINED: Duration = HOUR;
    let most = if index == 0 { 12 * HOUR } else { MOST_CHAINED };
    let default_name = || Template::parse("standpipe-{host}").ok();
    let arn = section.required("arn", "arn:aws:iam::222222222222:role/standpipe-writer", role_arn);
    let external_id = section.optional("external_id", string_that(is_external_id, EXTERNAL_ID));
    let session_name = section.optional("session_name", session).or_else(default_name);
    let region = section.optional("region", string_that(is_region, REGION));
    let duration = section.or("duration", HOUR, duration(LEAST..=most));
    let sts_endpoint_url = section.optional("sts_endpoint_url", endpoint);
    section.finish();
    Some(AssumeRole {
        arn: arn?,
        external_id,
        session_name: session_name?,
        region,
        duration,
        sts_endpoint_url,
    })
}

const EXTERNAL_ID: &str = "2 to 1224 characters of letters, digits and `_+=,.@:/-`";

fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len()) && text.chars().all(|c| is_session_char(c) || matches!(c, ':' | '/'))
}

const REGION: &str = "a region such as `us-east-1`";

fn is_region(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    plain && text.contains('-') && text.ends_with(|c: char| c.is_ascii_digit())
}

/// A name that may be made from metadata.
pub(super) fn template(node: &Node) -> Parsed<Template> {
    let wrong = |problem| Misfit::of(node, format!("{} {problem}", node.describe()));
    Template::parse(&string(node)?).map_err(wrong)
}

fn session(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    let length: usize = template.texts().map(|text| text.chars().count()).sum();
    let fits = length <= LONGEST_NAME && (length >= 2 || !template.is_constant());
    if fits && template.texts().flat_map(str::chars).all(is_session_char) {
        return Ok(template);
    }
    Err(expected(node, "a session name of 2 to 64 letters, digits and `_+=,.@-`, or fields such as `{host}`"))
}

fn region(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    let constant = template.is_constant();
    if constant && !template.texts().all(is_region) { Err(expected(node, REGION)) } else { Ok(template) }
}

fn role_arn(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    // A field stands for something, so that the form can be looked at as a whole.
    let part = |piece: &TemplatePiece| match piece {
        TemplatePiece::Text(text) => text.clone(),
        // What a label holds is not known here: it may be an account.
        TemplatePiece::Field {
            field: TemplateField::Origin(Field::Owner) | TemplateField::Label(_), ..
        } => "000000000000".to_owned(),
        TemplatePiece::Field { .. } => "x".to_owned(),
    };
    let text: String = template.pieces.iter().map(part).collect();
    if is_role_arn(&text) {
        return Ok(template);
    }
    Err(expected(node, "a role's ARN such as `arn:aws:iam::222222222222:role/standpipe-writer`"))
}

fn is_role_arn(text: &str) -> bool {
    let Ok(arn) = text.parse::<Arn>() else { return false };
    let is_role = matches!(arn.resource_type(), ResourceType::Role { .. });
    let role = arn.resource.strip_prefix("role/").unwrap_or_default();
    is_role && is_account(&arn.account) && role.chars().all(|c| is_session_char(c) || c == '/')
}
