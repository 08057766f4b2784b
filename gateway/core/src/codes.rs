//! Verdicts and the reasons behind them.
//!
//! One table holds every code: its rank of precedence, the verdict it leads to unless a profile
//! says otherwise, what staff read, what they do and what the public is told. The public instruction never
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "ADMIT",
            Self::Refer => "REFER",
            Self::Hold => "HOLD",
            Self::Deny => "DENY",
        }
    }
    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
    /// What staff and slips call it.
    pub fn text(self) -> Text {
        match self {
            Self::Admit => Text::new("放行", "Admit"),
            Self::Refer => Text::new("转介", "Refer"),
            Self::Hold => Text::new("等候", "Hold"),
            Self::Deny => Text::new("拒绝", "Deny"),
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
    ($($code:ident $rank:ident $outcome:ident $second:literal $zh:literal $en:literal
        => $do_zh:literal $do_en:literal;)*) => {
        /// A reason, as events carry it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(non_camel_case_types, reason = "the codes are written on paper and in feeds as they stand here")]
        pub enum Code { $(#[doc = $en] $code,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code,)*];
            /// The code as it is written.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$code => stringify!($code),)* } }
            /// Its place in the order of precedence.
            pub const fn rank(self) -> Rank { match self { $(Self::$code => Rank::$rank,)* } }
            /// The verdict it leads to when the profile does not say.
            pub const fn outcome(self) -> Outcome { match self { $(Self::$code => Outcome::$outcome,)* } }
            /// Whether an override needs a supervisor's second signature.
            pub const fn needs_second_sign(self) -> bool { match self { $(Self::$code => $second,)* } }
            /// What staff read.
            pub fn text(self) -> Text { match self { $(Self::$code => Text::new($zh, $en),)* } }
            /// What staff do about it, in one line; empty where there is nothing to do.
            pub fn advice(self) -> Text { match self { $(Self::$code => Text::new($do_zh, $do_en),)* } }
            /// The code that is written so.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $(stringify!($code) => Some(Self::$code),)* _ => None }
            }
        }
    };
}

codes! {
    OK Repetition Admit false "正常" "all checks passed"
        => "" "";
    X_STORAGE Fault Hold false "存储已满，无法留证" "storage is full or broken: nothing can be recorded"
        => "停止通道，叫技术员" "Stop the lane and call the technician";
    X_RULE Fault Hold false "规则无法计算" "a rule could not be evaluated"
        => "人工核验，并报告运维" "Check by hand and tell operations";
    X_TIMEOUT Fault Hold false "步骤超时" "a step was not finished in time"
        => "改判后此步骤重新开始，请做完" "Override: the step begins anew; finish it";
    X_CLOCK Fault Hold false "时钟未同步" "the clock cannot be trusted"
        => "人工核对日期，并报告运维" "Check the dates by hand and tell operations";
    X_DEVICE Fault Hold false "设备故障" "a device failed"
        => "查看设备；叫技术员" "Look at the device; call the technician";
    X_STALE Fault Refer false "名单数据过期" "the local list is too old"
        => "查验纸质证明，并报告运维" "Check papers and tell operations";
    X_USES Fault Hold true "同站已用证件和核查名单尚未核对" "what was used and who is held at this site is not yet known"
        => "等待同站网关；急用时由主管在工作台解除" "Wait for the other gateways; a supervisor may release it at the desk";
    C_UNREADABLE Credential Hold false "码无法识别" "the code cannot be read as a pass"
        => "擦净码、加光再扫，或手工输入" "Clean the code, give more light, or type it in";
    C_UNKNOWN Credential Hold false "本机未知，无法核实" "not known to this gateway: cannot be checked here"
        => "不等于无效：查验证件，或致电签发单位" "Not the same as invalid: check papers or phone the issuer";
    C_BADSIG Credential Deny false "签名无效" "the signature is not valid"
        => "可能是伪造或复制：叫主管" "Copy or forgery is likely: call a supervisor";
    C_EXPIRED Credential Deny false "证件已过期或未生效" "expired or not yet valid"
        => "请出示现行证件" "Ask for the current pass";
    C_REVOKED Credential Deny false "证件已撤销" "revoked by the issuer"
        => "请到签发单位办理" "Send to the issuer";
    C_WRONG_SITE Credential Deny false "证件不适用于此处" "not valid at this place or for this purpose"
        => "证件类型不对，或属其他地区：请出示正确的证件" "Wrong kind of pass or another region: ask for the right one";
    L_HOLD Listed Hold true "列入核查名单" "listed for a check"
        => "不要当众说明原因；叫主管" "Do not say why in public; call a supervisor";
    H_POSITIVE Health Deny true "检测阳性" "the last test is positive"
        => "保持距离，按现场预案处理" "Keep distance and follow the site's plan";
    H_RED Health Deny true "红码" "status red"
        => "保持距离，按现场预案处理" "Keep distance and follow the site's plan";
    H_YELLOW Health Refer false "黄码" "status yellow"
        => "请到复测点" "Send to the recheck point";
    H_RISK_AREA Health Hold false "到过风险地区" "was in a risk area"
        => "询问情况，通知网格员" "Ask, and tell the grid worker";
    H_TEST_MISSING Health Hold false "无检测记录" "no test on record"
        => "看纸质证明，或去检测" "See paper proof, or send to be tested";
    H_TEST_EXPIRED Health Hold false "检测结果超时" "the test is too old"
        => "看更新的纸质证明，或去检测" "See newer paper proof, or send to be tested";
    H_OUT_OF_CITY Health Refer false "市外来人员" "comes from outside the city"
        => "请到发热门诊" "Send to the fever clinic";
    H_SYMPTOM Health Refer false "有症状" "reports symptoms"
        => "请到发热门诊" "Send to the fever clinic";
    T_HIGH Temperature Refer false "体温偏高" "temperature above the limit"
        => "按 F2 复测，或用临床体温计" "Press F2, or use a clinical thermometer";
    T_LOW Temperature Refer false "体温偏低，请回暖复测" "temperature too low: warm up and measure again"
        => "先回暖，再按 F2 复测" "Warm up first, then press F2";
    T_FAULT Temperature Refer false "测温故障" "the thermometer failed"
        => "用手持体温计测量；叫技术员" "Measure by hand; call the technician";
    T_ENV Temperature Refer false "测温环境不适" "no steady reading: surroundings unsuitable"
        => "一人靠近，避风避晒，再按 F2；每次都这样就叫技术员" "One person, closer, out of wind and sun, then F2; at every visit: call the technician";
    T_NONE Temperature Refer false "未测温" "no temperature was taken"
        => "请其靠近，再按 F2" "Ask to come closer, then press F2";
    V_PLATE Vehicle Hold false "车牌不符" "the plate differs from the pass"
        => "再核对车牌；别的车不能用此证" "Read the plate again; another truck may not use this pass";
    V_ROUTE Vehicle Hold false "路线不符" "the route does not include this place"
        => "请出示本路线的通行证" "Ask for the pass of this route";
    V_CREW Vehicle Hold false "人数不符" "the crew differs from the pass"
        => "再数一次人数" "Count the people again";
    V_CATEGORY Vehicle Hold false "车辆类别不符" "the category is not for this lane"
        => "请走对应的通道" "Send to the right lane";
    V_APPROVAL Vehicle Hold true "等待审批" "an approval is missing"
        => "联系主管部门；改判还须主管会签" "Ask the department; an override needs a supervisor as well";
    V_UNIT Vehicle Hold false "箱号或卡号不符" "the container, trailer or tracking card differs"
        => "再核对箱号或卡号" "Read the number again and compare it with the papers";
    V_PARTY Vehicle Refer false "同行人员未通过" "somebody who comes along was not admitted"
        => "看是哪一位，按其结论处理" "See who it is, and follow what was said of them";
    S_MISSING Seal Hold true "封条缺失" "the seal is missing"
        => "给车辆贴封条" "Seal the truck";
    S_NUMBER Seal Hold true "封条号不符" "the seal number is wrong or was used before"
        => "再读一次；用过的换新封条" "Read it again; take a new seal if it was used before";
    S_TAMPER Seal Hold true "封条被动过" "the seal was tampered with"
        => "不要触碰；叫主管" "Touch nothing; call a supervisor";
    S_PHOTO Seal Hold true "照片不全" "the photographs are incomplete"
        => "补拍缺少的照片" "Take the photographs that are missing";
    S_WEIGHT Seal Hold true "重量不符" "the weight differs from the record"
        => "再称一次；仍不符叫主管" "Weigh it again; call a supervisor if it still differs";
    D_USED Repetition Deny false "通行证已使用" "the pass was used before"
        => "单次证已用过：请换新证" "A single-use pass that was used: ask for a new one";
    D_REPEAT Repetition Admit false "重复扫码" "scanned again"
        => "同一张卡再次出示：核对是否同一人" "The same card again: look whether it is the same person";
    D_NO_EXIT Repetition Hold false "未登记离开" "no exit on record"
        => "询问何时离开，并备注" "Ask when they left and note it";
    D_NO_ENTRY Repetition Hold false "未登记进入" "no entry on record"
        => "询问从何处、何时进入，并备注" "Ask when and where they came in and note it";
    D_OVERDUE Repetition Refer false "超过时限" "past its time limit"
        => "询问原因，并备注" "Ask why and note it";
    Q_COMPANION Repetition Hold false "陪护人数已满" "the companion place is taken"
        => "另一位陪护先离开" "The other companion leaves first";
    Q_FULL Repetition Hold false "已满" "no place left"
        => "等待空位" "Wait for a free place";
    Q_NO_BOOKING Repetition Hold false "无预约" "no booking"
        => "请预约，或询问病区" "Book, or ask the ward";
    Q_NOT_LISTED Repetition Hold false "不在名单" "not on the list for this place"
        => "查验证件，联系负责人" "Check papers and ask who is in charge here";
    Q_SHORT Repetition Hold false "库存不足" "not enough in stock"
        => "先盘点，或少领" "Count the stock, or take less";
    Q_HOURS Repetition Hold false "不在开放时间" "outside opening hours"
        => "请在开放时间再来" "Ask to come back in opening hours";
    Q_RESTRICTED Repetition Hold false "有限制，请工作人员处理" "restricted: staff decide"
        => "看工作台上的说明" "See the note at the desk";
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
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
    }
}
