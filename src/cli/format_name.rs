//! What the formats of `access render` are called.

use clap::ValueEnum;

use crate::access::render::RenderFormat;

/// The formats of `access render`, as they are named.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FormatName {
    /// A shell script for each account
    Cli,
    /// A template for each account
    #[value(name = "cloudformation", help = "A CloudFormation template for each account")]
    CloudFormation,
    /// A Terraform module for each account
    Terraform,
    /// Every policy as JSON, and tables of who may do what
    Policies,
}

impl From<FormatName> for RenderFormat {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Cli => Self::Cli,
            FormatName::CloudFormation => Self::CloudFormation,
            FormatName::Terraform => Self::Terraform,
            FormatName::Policies => Self::Policies,
        }
    }
}
