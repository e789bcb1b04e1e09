//! Errors as AWS writes them: JSON 1.1 for Firehose, XML for STS.

use bytes::Bytes;
use http::{Response, StatusCode};

/// What a proxy answers for a service.
pub(crate) fn page(status: u16) -> Response<Bytes> {
    let body = format!("<html>\r\n<head><title>{status}</title></head>\r\n<body>a proxy</body></html>\r\n");
    Response::builder()
        .status(status)
        .header("content-type", "text/html")
        .header("server", "nginx/1.27.0")
        .body(Bytes::from(body))
        .unwrap()
}

/// An error of either service.
#[derive(Clone, Debug)]
pub(crate) struct AwsError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl AwsError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgumentException", message)
    }

    pub(crate) fn slow_down() -> Self {
        Self::new(500, "ServiceUnavailableException", "Slow down.")
    }

    /// As Firehose answers.
    pub(crate) fn json(&self) -> Response<Bytes> {
        let body = serde_json::json!({ "__type": self.code, "message": self.message });
        Response::builder()
            .status(self.status())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amzn-errortype", self.code)
            .body(Bytes::from(body.to_string()))
            .unwrap()
    }

    /// As STS answers, which has names of its own for the signature's errors.
    pub(crate) fn xml(&self) -> Response<Bytes> {
        let code = match self.code {
            "AccessDeniedException" => "AccessDenied",
            "UnrecognizedClientException" => "InvalidClientTokenId",
            "ExpiredTokenException" => "ExpiredToken",
            "InvalidSignatureException" => "SignatureDoesNotMatch",
            code => code,
        };
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{}</Message></Error><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>",
            escape(&self.message)
        );
        Response::builder()
            .status(self.status())
            .header("content-type", "text/xml")
            .body(Bytes::from(body))
            .unwrap()
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
