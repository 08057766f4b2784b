//! Verdicts and the reasons behind them.
//!
//! One table holds every code: its rank of precedence, the verdict it leads to unless a profile
//! says otherwise, what staff read and what the public is told. The public instruction never
//! says why.

use crate::text::Text;
use serde::{Deserialize, Serialize};

/// What the lane tells the person in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Go on.
    Admit,
    /// Go to the named place: the fever clinic, the recheck tent, the information desk.
    Refer,
    /// Wait here; an officer decides.
    Hold,
    /// Not today.
    Deny,
}

impl Outcome {
    /// The word as events, screens and metrics write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admit => "ADMIT",
            Self::Refer => "REFER",
            Self::Hold => "HOLD",
            Self::Deny => "DENY",
        }
    }
    /// All four.
    pub const ALL: [Self; 4] = [Self::Admit, Self::Refer, Self::Hold, Self::Deny];
}

/// Groups of codes in order of precedence: the first that does not admit decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The gateway itself cannot judge.
    Fault,
    /// The pass is not good or not known.
    Credential,
    /// The subject is listed.
    Listed,
    /// Health status.
    Health,
    /// Temperature.
    Temperature,
    /// Vehicle, route and crew.
    Vehicle,
    /// Seal and evidence.
    Seal,
    /// Repetition and capacity.
    Repetition,
}

macro_rules! codes {
    ($($code:ident $rank:ident $outcome:ident $second:literal $zh:literal $en:literal;)*) => {
        /// A reason, as events carry it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(non_camel_case_types, reason = "the codes are written on paper and in feeds as they stand here")]
        pub enum Code { $(#[doc = $en] $code,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code,)*];
            /// The code as it is written.
            pub const fn word(self) -> &'static str { match self { $(Self::$code => stringify!($code),)* } }
            /// Its place in the order of precedence.
            pub const fn rank(self) -> Rank { match self { $(Self::$code => Rank::$rank,)* } }
            /// The verdict it leads to when the profile does not say.
            pub const fn outcome(self) -> Outcome { match self { $(Self::$code => Outcome::$outcome,)* } }
            /// Whether an override needs a supervisor's second signature.
            pub const fn needs_second_sign(self) -> bool { match self { $(Self::$code => $second,)* } }
            /// What staff read.
            pub fn text(self) -> Text { match self { $(Self::$code => Text::new($zh, $en),)* } }
            /// The code for a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $(stringify!($code) => Some(Self::$code),)* _ => None }
            }
        }
    };
}

codes! {
    OK Repetition Admit false "正常" "all checks passed";
    X_STORAGE Fault Hold false "存储已满，无法留证" "storage is full or broken: nothing can be recorded";
    X_RULE Fault Hold false "规则无法计算" "a rule could not be evaluated";
    X_TIMEOUT Fault Hold false "步骤超时" "a step was not finished in time";
    X_CLOCK Fault Hold false "时钟未同步" "the clock cannot be trusted";
    X_DEVICE Fault Hold false "设备故障" "a device failed";
    X_STALE Fault Refer false "名单数据过期" "the local list is too old";
    C_UNREADABLE Credential Hold false "码无法识别" "the code cannot be read as a pass";
    C_UNKNOWN Credential Hold false "本机未知，无法核实" "not known to this gateway: cannot be checked here";
    C_BADSIG Credential Deny false "签名无效" "the signature is not valid";
    C_EXPIRED Credential Deny false "证件已过期或未生效" "expired or not yet valid";
    C_REVOKED Credential Deny false "证件已撤销" "revoked by the issuer";
    C_WRONG_SITE Credential Deny false "证件不适用于此处" "not valid at this place or for this purpose";
    L_HOLD Listed Hold true "列入核查名单" "listed for a check";
    H_POSITIVE Health Deny true "检测阳性" "the last test is positive";
    H_RED Health Deny true "红码" "status red";
    H_YELLOW Health Refer false "黄码" "status yellow";
    H_RISK_AREA Health Hold false "到过风险地区" "was in a risk area";
    H_TEST_MISSING Health Hold false "无检测记录" "no test on record";
    H_TEST_EXPIRED Health Hold false "检测结果超时" "the test is too old";
    H_OUT_OF_CITY Health Refer false "市外来人员" "comes from outside the city";
    H_SYMPTOM Health Refer false "有症状" "reports symptoms";
    T_HIGH Temperature Refer false "体温偏高" "temperature above the limit";
    T_LOW Temperature Refer false "体温偏低，请回暖复测" "temperature too low: warm up and measure again";
    T_FAULT Temperature Refer false "测温故障" "the thermometer failed";
    T_ENV Temperature Refer false "测温环境不适" "no steady reading: surroundings unsuitable";
    T_NONE Temperature Refer false "未测温" "no temperature was taken";
    V_PLATE Vehicle Hold false "车牌不符" "the plate differs from the pass";
    V_ROUTE Vehicle Hold false "路线不符" "the route does not include this place";
    V_CREW Vehicle Hold false "人数不符" "the crew differs from the pass";
    V_CATEGORY Vehicle Hold false "车辆类别不符" "the category is not for this lane";
    V_APPROVAL Vehicle Hold true "等待审批" "an approval is missing";
    S_MISSING Seal Hold true "封条缺失" "the seal is missing";
    S_NUMBER Seal Hold true "封条号不符" "the seal number is wrong or was used before";
    S_TAMPER Seal Hold true "封条被动过" "the seal was tampered with";
    S_PHOTO Seal Hold true "照片不全" "the photographs are incomplete";
    D_USED Repetition Deny false "通行证已使用" "the pass was used before";
    D_REPEAT Repetition Admit false "重复扫码" "scanned again";
    D_NO_EXIT Repetition Hold false "未登记离开" "no exit on record";
    Q_COMPANION Repetition Hold false "陪护人数已满" "the companion place is taken";
    Q_FULL Repetition Hold false "已满" "no place left";
    Q_NO_BOOKING Repetition Hold false "无预约" "no booking";
}

/// One reason found during a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The code.
    pub code: Code,
    /// The verdict it asks for in this profile.
    pub outcome: Outcome,
}

/// Weighs findings: the first in precedence that does not admit decides; without one the
/// verdict is ADMIT. Findings that admit stay on record as flags.
pub fn weigh(findings: &[Finding]) -> (Outcome, Vec<Code>) {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|f| (f.outcome == Outcome::Admit, f.code.rank(), f.code));
    let outcome = sorted.first().map_or(Outcome::Admit, |f| f.outcome);
    let mut codes: Vec<Code> = sorted.iter().map(|f| f.code).collect();
    codes.dedup();
    if outcome == Outcome::Admit && !codes.contains(&Code::OK) {
        codes.insert(0, Code::OK);
    }
    (outcome, codes)
}

/// What the public screen says for a verdict, unless the profile has its own words.
pub fn instruction(outcome: Outcome) -> Text {
    match outcome {
        Outcome::Admit => Text::new("请通行", "Please go ahead"),
        Outcome::Refer => Text::new("请到旁边服务点", "Please go to the service point"),
        Outcome::Hold => Text::new("请稍候，工作人员将协助您", "Please wait, staff will help you"),
        Outcome::Deny => Text::new("请联系工作人员", "Please speak to staff"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(codes: &[Code]) -> Vec<Finding> {
        codes.iter().map(|&code| Finding { code, outcome: code.outcome() }).collect()
    }

    #[test]
    fn precedence_is_fault_credential_hold_list_health_temperature_repetition() {
        assert_eq!(weigh(&[]), (Outcome::Admit, vec![Code::OK]));
        assert_eq!(weigh(&found(&[Code::T_HIGH, Code::H_RED])).0, Outcome::Deny);
        assert_eq!(weigh(&found(&[Code::H_RED, Code::L_HOLD])).0, Outcome::Hold);
        assert_eq!(weigh(&found(&[Code::L_HOLD, Code::C_REVOKED])).0, Outcome::Deny);
        assert_eq!(weigh(&found(&[Code::C_REVOKED, Code::X_RULE])).0, Outcome::Hold);
        assert_eq!(
            weigh(&found(&[Code::D_USED, Code::T_HIGH])),
            (Outcome::Refer, vec![Code::T_HIGH, Code::D_USED])
        );
    }

    #[test]
    fn a_flag_that_admits_never_decides() {
        let flag = Finding { code: Code::X_STALE, outcome: Outcome::Admit };
        assert_eq!(weigh(std::slice::from_ref(&flag)), (Outcome::Admit, vec![Code::OK, Code::X_STALE]));
        let mut both = found(&[Code::T_HIGH]);
        both.push(flag);
        assert_eq!(weigh(&both).0, Outcome::Refer);
    }

    #[test]
    fn words_and_codes_agree() {
        for &code in Code::ALL {
            assert_eq!(Code::from_word(code.word()), Some(code));
        }
    }
}
