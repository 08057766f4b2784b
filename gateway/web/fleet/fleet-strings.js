// The words of the fleet page in Chinese and English. Words that all pages share come from
// strings.js, which also keeps the choice of the language.
//
// Elements of the page name their words: data-ft (text), data-ft-label (aria-label) and data-ft-hint
// (placeholder); `translate` puts them in at each change of the language.

import { setText } from "./dom.js";
import { has as hasShared, lang, t as shared } from "./strings.js";

const STRINGS = {
  title_fleet: ["网关总览", "Fleet"],
  unknown: ["未知", "unknown"],
  more: ["再显示 {n} 条", "Show {n} more"],
  close: ["关闭", "Close"],
  none: ["无", "None"],
  yes: ["是", "yes"],
  no: ["否", "no"],

  counts: ["网关数量", "Number of gateways"],
  count_all: ["全部", "all"],
  count_online: ["在线", "online"],
  count_offline: ["离线", "offline"],
  count_unknown: ["未知", "unknown"],
  count_alarms: ["有告警", "with alarms"],
  age_data: ["数据 {age}前", "Data {age} old"],
  age_none: ["还没有数据", "No data yet"],
  stale: ["数据已是 {age}前的，下面不是当前状态。", "The data is {age} old: this is not the present state."],
  stale_say: ["数据已过时，不是当前状态。", "The data is out of date: this is not the present state."],
  stale_none: ["中心服务还没有给出数据。", "The central server has not given any data yet."],
  loading: ["正在读取…", "Loading…"],
  err_no_answer: ["中心服务没有应答。", "The central server did not answer."],
  err_bad_answer: ["中心服务的应答读不懂。", "The central server's answer cannot be read."],
  err_refused: ["中心服务拒绝了此操作。", "The central server refused this."],

  filter: ["筛选", "Filter"],
  filter_text: ["按站点或网关筛选（/）", "Filter by site or gateway ( / )"],
  filter_site: ["站点", "Site"],
  filter_all_sites: ["全部站点（{n}）", "All sites ({n})"],
  filter_alarms: ["告警", "Alarms"],
  filter_clear: ["清除筛选", "Clear"],
  filter_shown: ["显示 {n}／{all}", "{n} of {all} shown"],
  map: ["网关方块图", "Map of gateways"],
  map_site: ["{site}：{n} 台，{bad} 台有告警", "{site}: {n} gateways, {bad} with alarms"],
  table: ["网关列表", "Gateways"],
  table_none: ["没有符合筛选条件的网关。", "No gateway matches the filter."],
  table_empty: ["还没有登记网关。", "There are no gateways yet."],
  no_alarm: ["无告警", "no alarm"],

  alarm_CONFLICT: ["记录冲突", "Conflict"],
  alarm_GAP: ["记录缺号", "Gap"],
  alarm_STORE: ["存储", "Store"],
  alarm_OFFLINE: ["离线", "Offline"],
  alarm_CERT: ["证书", "Cert"],
  alarm_STALE_LISTS: ["名单过期", "Stale lists"],
  alarm_OUTBOX: ["积压", "Outbox"],
  alarm_DEVICES: ["设备", "Devices"],
  alarm_CLOCK: ["时钟", "Clock"],
  glyph_CONFLICT: ["冲", "X"],
  glyph_GAP: ["缺", "G"],
  glyph_STORE: ["存", "S"],
  glyph_OFFLINE: ["断", "O"],
  glyph_CERT: ["证", "C"],
  glyph_STALE_LISTS: ["名", "L"],
  glyph_OUTBOX: ["积", "Q"],
  glyph_DEVICES: ["设", "D"],
  glyph_CLOCK: ["钟", "K"],

  fc_name: ["站点/网关", "Site/gateway"],
  fc_worst: ["告警", "Alarms"],
  fc_online: ["连接", "Link"],
  fc_outbox: ["待发", "Outbox"],
  fc_oldest: ["最早", "Oldest"],
  fc_lists: ["名单", "Lists"],
  fc_stale: ["过期", "Stale"],
  fc_cert: ["证书", "Cert"],
  fc_clock: ["时钟", "Clock"],
  fc_devices: ["设备", "Devices"],
  fc_lanes: ["通道", "Lanes"],
  fc_version: ["版本", "Version"],
  tip_online: ["在线或离线，持续多久", "Online or offline, and for how long"],
  tip_outbox: ["尚未送达中心的事件", "Events not yet delivered"],
  tip_oldest: ["最早一条待发事件的时长", "Age of the oldest event that waits"],
  tip_lists: ["最旧名单的时效", "Age of the oldest list"],
  tip_stale: ["过期名单数", "Number of stale lists"],
  tip_cert: ["证书剩余天数", "Days until the certificate ends"],
  tip_devices: ["设备：故障数／总数", "Devices: down/all"],
  tip_today: ["今日", "Today"],
  cell_outbox: ["未回执 {r}，待传照片 {p}", "{r} without receipt, {p} photos waiting"],
  cell_seen: ["上次消息 {age}前", "last heard {age} ago"],
  link_online: ["在线", "Online"],
  link_offline: ["离线", "Offline"],
  clock_synced: ["已校时", "Synced"],
  clock_unsynced: ["未校时", "No sync"],
  clock_floor: ["时钟过早", "Behind"],
  days: ["{n} 天", "{n} d"],

  d_seen: ["上次消息", "Last heard"],
  d_seen_ago: ["{age}前", "{age} ago"],
  d_last_known: ["网关离线：以下是最后一次上报的内容。", "Gateway offline: what follows is its last report."],
  d_no_health: ["还没有收到运行状态上报。", "No health report has come yet."],
  d_stale: ["此网关的资料已是 {age}前的。", "What is shown of this gateway is {age} old."],
  d_state: ["状态", "State"],
  d_lists: ["名单", "Lists"],
  d_outbox: ["待发队列", "Outbox"],
  d_devices: ["设备", "Devices"],
  d_lanes: ["通道（今日）", "Lanes (today)"],
  d_verdicts: ["最近结论", "Last verdicts"],
  d_seal: ["最近的封条照片", "Last photograph of a seal"],
  d_commands: ["已发指令", "Commands sent"],
  d_counters: ["计数", "Counters"],
  d_report: ["上报时间", "Reported at"],
  d_store: ["存储", "Store"],
  d_box: ["主机", "Box"],
  d_free: ["可用", "free"],
  d_used: ["已用", "used"],
  d_load: ["负载", "load"],
  d_memory: ["内存", "memory"],
  d_photos: ["待传照片", "Photos waiting"],
  d_signed: ["签名", "Signed"],
  d_unsigned: ["未签名", "Not signed"],
  d_trust_unsigned: ["登记时带来；以签名名单下发后才显示已签名", "Came with enrolment; signed once it is sent as a feed"],
  d_late: ["补传", "sent late"],
  d_photo_failed: ["照片取不到。", "The photograph cannot be loaded."],
  d_seal_alt: ["封条照片，通道 {lane}，{at}", "Seal, lane {lane}, {at}"],
  dc_time: ["时间", "Time"],
  dc_outcome: ["结论", "Verdict"],
  dc_codes: ["代码", "Codes"],
  dc_profile: ["流程", "Profile"],
  dc_command: ["指令", "Command"],
  command_queued: ["排队", "queued"],
  command_pending: ["等待", "pending"],
  command_sent: ["已发送", "sent"],
  command_delivered: ["已送达", "delivered"],
  command_acknowledged: ["已确认", "acknowledged"],
  command_done: ["完成", "done"],
  command_failed: ["失败", "failed"],
  command_refused: ["被拒绝", "refused"],
  command_expired: ["已失效", "expired"],
  class_verdict: ["结论与证据", "Verdicts, evidence"],
  class_scan: ["扫描与表单", "Scans, forms"],
  class_sample: ["测温", "Temperatures"],
  class_health: ["运行状态", "Health"],
  sf_site: ["站点", "Site"],
  sf_gateway: ["网关", "Gateway"],
  sf_version: ["版本", "Version"],
  sf_online: ["在线", "Online"],
  sf_since: ["起始时间", "Since"],
  sf_since_s: ["持续", "For"],
  sf_at: ["时间", "At"],
  sf_started: ["启动时间", "Started"],
  sf_uptime_s: ["运行时间", "Uptime"],
  sf_epoch: ["纪元", "Epoch"],
  sf_heads: ["最新编号", "Latest numbers"],
  sf_floor: ["最早保留的编号", "First numbers kept"],

  trace: ["追溯", "Trace"],
  tr_title: ["追溯人员或通道", "Trace a person or a lane"],
  tr_by: ["追溯对象", "Trace by"],
  tr_person: ["人员编号", "Id of a person"],
  tr_subject: ["人员键值", "Subject key"],
  tr_lane: ["通道", "Lane"],
  tr_from: ["从", "From"],
  tr_to: ["到", "To"],
  tr_purpose: ["用途（必填，会记入审计）", "Purpose (required, goes into the audit)"],
  tr_ask: ["开始追溯", "Start"],
  tr_need_key: ["请填写人员编号、人员键值或通道。", "Enter the id, the subject key or the lane."],
  tr_need_time: ["请填写起止时间。", "Enter both times."],
  tr_need_order: ["“到”须晚于“从”。", "“To” must be later than “From”."],
  tr_need_purpose: ["请写明用途。", "Enter the purpose."],
  tr_progress: ["已应答 {n}／{all} 台网关", "Answered {n} of {all} gateways"],
  tr_elapsed: ["用时 {s} 秒", "{s} s used"],
  tr_running: ["正在等待应答…", "Waiting for answers…"],
  tr_complete: ["完成：全部网关已应答", "Complete: every gateway answered"],
  tr_partial: ["结束，但不完整", "Ended, but not complete"],
  tr_lost: ["进度取不到，以下不完整，正在重试…", "The progress cannot be read; what follows is not complete. Trying again…"],
  tr_stopped: ["追溯中断，以下不完整。", "The trace broke off; what follows is not complete."],
  tr_waiting: ["尚未应答：{n} 台", "Not yet answered: {n}"],
  tr_missing: ["没有应答：{n} 台。它们的记录不在下表中。", "Did not answer: {n}. Their records are not in the table."],
  tr_refused: ["拒绝：{n} 台。它们的记录不在下表中。", "Refused: {n}. Their records are not in the table."],
  tr_unnamed: ["另有 {n} 台未应答，服务未给出名称。", "{n} more did not answer; the server does not name them."],
  tr_truncated: ["结果太多，只给出一部分。请缩短时间范围。", "Too many results: only a part is shown. Choose a shorter time."],
  tr_rows: ["结果：{n} 条", "Results: {n}"],
  tr_none_yet: ["还没有结果。", "No results yet."],
  tr_none: ["已应答的网关没有符合的记录。", "The gateways that answered have no such records."],
  tr_unsent: ["仅存于网关", "at the gateway only"],
  tr_where: ["所在", "Kept"],
  tr_central: ["已送达", "delivered"],
};

export function has(key) {
  return key in STRINGS || hasShared(key);
}

/** A string in the chosen language; `{name}` is replaced from `values`. */
export function t(key, values = {}) {
  const pair = STRINGS[key];
  if (!pair) return shared(key, values);
  let words = pair[lang() === "zh" ? 0 : 1];
  for (const [name, value] of Object.entries(values)) words = words.replaceAll(`{${name}}`, () => String(value));
  return words;
}

/** A string as {zh, en}, for a fault that may outlive a change of the language. */
export function text(key) {
  const pair = STRINGS[key] ?? [key, key];
  return { zh: pair[0], en: pair[1] };
}

/** The words for a name that a server sent, or the name itself. */
export function word(prefix, name) {
  return has(prefix + name) ? t(prefix + name) : String(name ?? "—");
}

export function translate(root = document) {
  for (const one of root.querySelectorAll("[data-ft]")) setText(one, t(one.dataset.ft));
  for (const one of root.querySelectorAll("[data-ft-label]")) one.setAttribute("aria-label", t(one.dataset.ftLabel));
  for (const one of root.querySelectorAll("[data-ft-hint]")) one.placeholder = t(one.dataset.ftHint);
}
