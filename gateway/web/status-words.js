// Names for what the gateway counts and keeps, in both languages. A name that is not here is shown as it is: nothing
// is hidden because this page does not know it.

import { lang } from "./strings.js";

const LISTS = {
  trust: ["信任的签发者", "Trusted issuers"],
  status: ["人员状态", "Residents' status"],
  pass: ["通行证", "Passes"],
  revocation: ["撤销", "Revocations"],
  hold: ["核查名单", "Holds"],
  roster: ["名册", "Roster"],
  release: ["版本", "Releases"],
  policy: ["通道规则", "Lane profiles"],
};

const CLASSES = {
  verdict: ["结论与证据", "Verdicts and evidence"],
  scan: ["扫码与登记", "Scans and forms"],
  sample: ["体温数据", "Temperature samples"],
  health: ["设备与状态", "Devices and health"],
};

const STEPS = {
  scan: ["扫码", "Scan"], temperature: ["测温", "Temperature"], verify: ["核验", "Verify"], decide: ["判定", "Decide"],
  actuate: ["放行", "Release"], question: ["提问", "Question"], seal: ["贴封条", "Seal"], photo: ["拍照", "Photo"],
  confirm: ["确认", "Confirm"], print: ["打印", "Print"],
};

const COUNTERS = {
  action_rejected_total: ["被拒绝的操作", "Acts refused"],
  answer_dropped_total: ["丢弃的应答", "Answers dropped"],
  answer_unread_total: ["无人接收的应答", "Answers that nobody read"],
  console_refused_total: ["值守台拒绝的请求", "Refused at the duty console"],
  audit_dropped_total: ["丢弃的审计记录", "Audit records dropped"],
  central_ask_refused_total: ["上级核对未获许可", "Talk with the central side that the broker refused"],
  central_went_back_total: ["上级数据回退次数", "Times that the central side lacked what it had"],
  card_as_answer_total: ["出示证件而非所要编码", "Cards shown where the code of a thing was asked for"],
  clock_step_total: ["时钟跳变", "Steps of the clock"],
  command_rejected_total: ["拒绝的上级命令", "Commands refused"],
  command_unbooked_total: ["未登记的上级命令", "Commands not booked"],
  configuration_refused_total: ["拒绝的配置", "Configurations refused"],
  device_request_dropped_total: ["未送达设备的请求", "Requests that reached no device"],
  device_request_failed_total: ["设备未确认的请求", "Requests that a device did not confirm"],
  down_link_lost_total: ["下行连接中断", "Down link lost"],
  entry_not_kept_total: ["未存下的名单条目", "Entries of lists not kept"],
  event_refused_total: ["上级拒绝的事件", "Events that the central side refused"],
  event_too_large_total: ["过大的事件", "Events too large to send"],
  feed_news_dropped_total: ["丢弃的名单通知", "News of lists dropped"],
  feed_stalled_total: ["停滞的名单下载", "Lists that stalled"],
  feed_unfetched_total: ["未取到的名单", "Lists not fetched"],
  feed_wish_dropped_total: ["丢弃的名单请求", "Wishes for lists dropped"],
  health_dropped_total: ["丢弃的状态报告", "Health reports dropped"],
  hospital_connection_refused_total: ["因占满而断开的医院系统连接", "Connections of the hospital that found no place"],
  hospital_frame_total: ["不合MLLP格式的连接", "Connections of the hospital that were no MLLP"],
  hospital_heard_total: ["其他网关转来的医院消息", "Messages of the hospital from other gateways"],
  hospital_host_refused_total: ["拒绝的未登记医院主机", "Hosts turned away that [hl7] does not name"],
  hospital_late_total: ["过时的医院消息", "Messages of the hospital that were late"],
  hospital_message_total: ["已生效的医院消息", "Messages of the hospital that count"],
  hospital_not_stored_total: ["未存下的医院消息", "Messages of the hospital not stored"],
  hospital_other_total: ["其他类型的医院消息", "Messages of the hospital of other kinds"],
  hospital_refused_total: ["有误的医院消息", "Messages of the hospital refused"],
  hospital_tls_refused_total: ["未通过TLS的医院连接", "Connections of the hospital without good TLS"],
  http_connection_displaced_total: ["为他人让位的连接", "Connections that made room for others"],
  http_connection_refused_total: ["没有位置的连接", "Connections without a seat"],
  http_foreign_total: ["外来网页的请求", "Requests of foreign pages"],
  http_rate_limited_total: ["过快的请求", "Requests that came too fast"],
  http_refused_total: ["拒绝的网页请求", "Web requests refused"],
  input_dropped_total: ["丢弃的输入", "Inputs dropped"],
  input_while_closed_total: ["通道关闭时的输入", "Inputs while closed"],
  journal_purged_total: ["已清理的记录", "Records removed after delivery"],
  journal_set_aside_total: ["封存的日志", "Journals set aside"],
  journal_shed_total: ["因空间不足舍弃的记录", "Records shed for room"],
  kept_log_fault_total: ["备忘日志写入失败", "Faults of the log beside the journal"],
  list_damaged_total: ["损坏的名单", "Lists damaged"],
  list_refused_total: ["拒绝的名单", "Lists refused"],
  list_unreadable_total: ["无法读取的名单", "Lists unreadable"],
  mark_dropped_total: ["丢弃的标记", "Marks dropped"],
  order_dropped_total: ["丢弃的命令", "Orders dropped"],
  pass_refused_total: ["未通过的证件", "Passes refused"],
  peer_ask_dropped_total: ["丢弃的同站询问", "Questions of gateways dropped"],
  peer_conflict_total: ["与其他网关的冲突", "Conflicts with other gateways"],
  peer_large_total: ["过大的网关消息", "Messages of gateways too large"],
  peer_over_budget_total: ["超量的网关消息", "Messages of gateways beyond their share"],
  peer_unreadable_total: ["读不懂的网关消息", "Unreadable messages of gateways"],
  photo_delivered_total: ["已送达的照片", "Photographs delivered"],
  photo_link_lost_total: ["照片连接中断", "Photograph link lost"],
  photo_missing_total: ["缺失的照片", "Photographs missing"],
  photo_put_failed_total: ["上传失败的照片", "Photograph uploads failed"],
  photo_put_total: ["上传的照片", "Photographs uploaded"],
  photo_receipt_dropped_total: ["丢弃的照片回执", "Photograph receipts dropped"],
  photo_receipt_refused_total: ["拒绝的照片回执", "Photograph receipts refused"],
  photo_removed_total: ["已清理的照片", "Photographs removed"],
  photo_shed_total: ["因空间不足舍弃的照片", "Photographs shed for room"],
  photo_unnamed_removed_total: ["清理的无主照片", "Stray photographs removed"],
  pin_wrong_total: ["错误密码", "Wrong PINs"],
  puback_refused_total: ["上级拒收的消息", "Messages that the broker refused"],
  pulse_without_admission_total: ["被阻止的误开闸", "Openings without an admission, prevented"],
  question_refused_total: ["拒绝的查询", "Questions refused"],
  receipt_gap_total: ["回执缺号", "Gaps in receipts"],
  receipt_refused_total: ["拒绝的回执", "Receipts refused"],
  receipt_unreadable_total: ["读不懂的回执", "Receipts unreadable"],
  report_without_lane_total: ["无通道的设备数据", "Reports of devices without a lane"],
  rule_failed_total: ["无法计算的规则", "Rules that failed"],
  scan_repeat_total: ["重复扫码", "Codes shown again"],
  scan_same_read_total: ["同一次扫码的重复读取", "Same code read more than once"],
  scan_unreadable_total: ["无法识别的码", "Codes unreadable"],
  scan_while_busy_total: ["流程进行中的扫码", "Codes shown while busy"],
  start_not_taken_total: ["未被接受的开始", "Starts that were not taken"],
  sparkplug_link_lost_total: ["Sparkplug 连接中断", "Sparkplug link lost"],
  store_failed_total: ["存储失败", "Store failures"],
  subject_key_refused_total: ["拒绝的人员密钥", "Subject keys refused"],
  thermometer_drift_total: ["测温漂移", "Thermometer drift"],
  upstream_lost_total: ["上级连接中断", "Upstream link lost"],
  use_forgotten_total: ["提前清除的用证记录", "Uses forgotten early"],
  badge_refused_total: ["被拒绝的工牌登录", "Badges refused"],
  command_refused_total: ["被拒绝的指令码", "Command codes refused"],
  command_total: ["已执行的指令码", "Command codes done"],
};

/** What drivers say, word for word. */
const SAID = {
  "a card whose number is not right": "证件号码不正确",
  "a code longer than announced": "码比预告的长",
  "a code without its end": "码没有结束符",
  "a frame that ends in another": "数据帧不完整",
  "a frame without temperatures: is its radiometric mode on?": "画面没有温度：请打开测温模式",
  "a line that is no weighing": "不是称重数据",
  "a line without end": "数据没有结束符",
  "a packet without its end": "数据包不完整",
  "a part of a code that is spread over several: it is refused": "这是分成几个的二维码之一，不能识别：请出示完整的一个码",
  "a pulse waited too long for the line: it is not sent": "开闸指令等待过久，没有发出",
  "a pulse was not confirmed: it is not sent again": "开闸没有得到确认，不再重发",
  "a reader of codes failed on a frame": "识别画面时出错",
  "a segment is missing": "缺少一段数据",
  "a segment without its beginning": "数据段缺少开头",
  "an answer was lost": "应答丢失",
  "an answer without its end": "应答不完整",
  "an unknown kind of segment": "未知的数据段",
  "bad checksum": "校验错误",
  "bytes on the line that nobody asked for": "线路上有多余的数据",
  "bytes that are no answer": "读不懂的应答",
  "code too long": "码太长",
  "garbled answer": "应答有误",
  "late or unasked answer": "应答迟到",
  "no answer": "没有应答",
  "no answer to a setting": "设置没有得到应答",
  "the board refused the pulse: see its `dialect` and `channel`": "继电器板拒绝开闸：请检查 dialect 和 channel",
  "the board was busy, asked again": "继电器板忙，已重试",
  "the gateway is too busy: a report was dropped": "网关太忙，丢弃了一次数据",
  "the reader refused a setting": "扫码器拒绝了设置",
  "the reader says that it read nothing": "扫码器没有读到码",
};

/** What central operations can ask of a gateway. */
const COMMANDS = {
  open: ["开闸", "Open"], message: ["显示消息", "Message"], snapshot: ["拍照", "Snapshot"], diagnostics: ["诊断", "Diagnostics"],
  "subject-key": ["更换人员键值密钥", "Subject key"], reload: ["重新载入", "Reload"], reboot: ["重启", "Reboot"], configure: ["更改配置", "Configure"],
  "certificate-request": ["申请证书", "Certificate request"], certificate: ["更换证书", "Certificate"], trace: ["追溯", "Trace"],
};

/** What drivers and links say of themselves; a pattern keeps what is particular to the case. */
const DETAILS = [
  [/^not plugged in$/, "未插上"],
  [/^unplugged$/, "网络已断开"],
  [/^not open$/, "未打开"],
  [/^another device is at this port: (.*)$/, "此端口上是另一台设备：$1"],
  [/^(\d+) ports have this device: .*$/, "有 $1 个端口接了同样的设备：请给每台写序列号或 udev 名称"],
  [/^no sensor answers at I2C address (.*)$/, "I2C 地址 $1 没有传感器应答"],
  [/^(?:no answer|did not answer|timeout)(.*)$/i, "没有应答$1"],
  [/No such file or directory.*$/, "没有这个端口"],
  [/Permission denied.*$/, "没有权限"],
  [/Connection refused.*$/, "连接被拒绝"],
  [/(?:timed out|deadline has elapsed).*$/i, "超时"],
];

function named(table, name) {
  const words = table[name];
  return words ? words[lang() === "zh" ? 0 : 1] : name;
}

export const listName = (name) => named(LISTS, name);
export const className = (name) => named(CLASSES, name);
export const stepName = (name) => named(STEPS, name);
export const counterName = (name) => named(COUNTERS, name);
export const commandName = (name) => named(COMMANDS, name);

export function detailWords(detail) {
  if (!detail || lang() !== "zh") return detail;
  if (SAID[detail]) return SAID[detail];
  for (const [pattern, words] of DETAILS) {
    if (pattern.test(detail)) return detail.replace(pattern, words);
  }
  return detail;
}
