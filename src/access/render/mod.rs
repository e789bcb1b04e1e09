//! A plan as files: shell, `CloudFormation`, Terraform, or the policies alone.

mod cli;
mod cloudformation;
mod hcl;
mod policies;
mod terraform;
mod template;
mod text;
mod values;
mod needs;
mod yaml;

#[cfg(test)]
mod tests;

pub(crate) use values::{QUEUE_RETENTION, QUEUE_VISIBILITY};

pub use self::text::RenderedFile;
use super::plan::AccessPlan;

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RenderFormat {
    /// One shell script for each account, with the AWS CLI.
    Cli,
    /// One template for each account.
    CloudFormation,
    /// One module for each account, and what calls them in order.
    Terraform,
    /// The policies as JSON, and who may do what in a table.
    Policies,
}

/// All files of a format.
#[must_use]
pub fn render(plan: &AccessPlan, format: RenderFormat) -> Vec<RenderedFile> {
    match format {
        RenderFormat::Cli => cli::files(plan),
        RenderFormat::CloudFormation => cloudformation::files(plan),
        RenderFormat::Terraform => terraform::files(plan),
        RenderFormat::Policies => policies::files(plan),
    }
}
