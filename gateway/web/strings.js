// The words of the screens in Chinese and English, and the choice between them. Words that come
// from the gateway are Texts ({zh, en}) as well and are chosen here by the same rule.
//
// The choice is kept in localStorage; `?lang=en` or `?lang=zh` sets it from an address.

import { LANE_STRINGS } from "./strings-lanes.js";

const LANG_KEY = "kakou.lang";
const LANGS = ["zh", "en"];

const STRINGS = {
  ...LANE_STRINGS,
  product: ["卡口", "Kakou"],
  title_index: ["选择屏幕", "Choose a screen"],
  title_lane: ["通道屏", "Lane screen"],
  title_desk: ["工作台", "Desk"],
  title_status: ["设备状态", "Status"],
  title_demo: ["演示", "Demo"],
  theme: ["亮色／暗色", "Light or dark"],
  home: ["首页", "Home"],

  unit_s: ["秒", "s"],
  unit_min: ["分钟", "min"],
  unit_h: ["小时", "h"],
  unit_d: ["天", "d"],

  // Outcomes: short for officers, and said to the person.
  outcome_ADMIT: ["放行", "Admit"],
  outcome_REFER: ["转介", "Refer"],
  outcome_HOLD: ["等候", "Hold"],
  outcome_DENY: ["拒绝", "Deny"],
  outcome_none: ["已取消", "Cancelled"],
  say_ADMIT: ["请通行", "Go ahead"],
  say_REFER: ["请移步", "This way"],
  say_HOLD: ["请稍候", "Please wait"],
  say_DENY: ["不能通行", "No entry"],

  lane_lost: ["网关连接不上", "Gateway not reachable"],
  lane_lost_hint: ["请听从工作人员安排", "Please ask the staff"],
  lane_connecting: ["正在连接…", "Connecting…"],
  lane_next: ["请下一位", "Next, please"],
  lane_closed: ["通道关闭", "Lane closed"],
  lane_unclear: ["请等工作人员", "Please wait for staff"],
  sound_hint: ["触摸屏幕以开启声音", "Touch the screen for sound"],

  index_lane: ["通道屏（面向来人）", "Lane screen (public)"],
  index_desk: ["工作台（值守人员）", "Desk (staff)"],
  index_status: ["设备状态", "Status"],
  index_demo: ["演示：扫卡、测温、断网", "Demo: cards, temperature, network"],
  index_none: ["没有配置通道", "No lanes are configured"],

  err_no_answer: ["网关没有应答。不能确定是否已记录，请看当前步骤再试。", "The gateway did not answer. It may not be recorded: look at the current step, then try again."],
  err_bad_answer: ["网关的应答读不懂，请重试。", "The gateway's answer cannot be read. Try again."],
  err_refused: ["网关拒绝了此操作。", "The gateway refused this."],

  signin_title: ["值守人员登录", "Sign in"],
  signin_pick: ["① 选择姓名", "1. Choose your name"],
  signin_pin: ["② 输入密码", "2. Enter your PIN"],
  signin_ok: ["登录", "Sign in"],
  signin_out: ["退出", "Sign out"],
  signin_choose_first: ["请先选择姓名。", "Choose your name first."],
  signin_no_pin: ["请输入密码。", "Enter your PIN."],
  pin: ["密码", "PIN"],
  pin_back: ["删除一位", "Delete one digit"],
  role_guard: ["保安", "Guard"],
  role_nurse: ["护士", "Nurse"],
  role_transport: ["运管", "Transport officer"],
  role_supervisor: ["主管", "Supervisor"],
  role_admin: ["管理员", "Administrator"],

  banner_lost: ["网关连接不上。屏上内容已作废，请勿据此放行。正在重连…", "Gateway not reachable. Nothing shown here counts: admit nobody on it. Reconnecting…"],
  banner_offline: ["上级平台离线：照常工作，稍后补传", "Upstream offline: work goes on, will send later"],
  banner_stale: ["名单已过期", "Lists are out of date"],
  banner_pack: ["{at} 起，新来的按新规则办理，进行中的按原规则办完", "From {at} new visits follow new rules; open ones finish on theirs"],
  banner_pack_title: ["：{title}", ": {title}"],
  banner_uses: ["新换设备，等待同站核对：", "New box, waits for what these know:"],
  banner_more: ["还有 {n} 条", "{n} more"],
  banner_fewer: ["收起", "Close"],
  banner_closed: ["通道关闭", "Lane closed"],
  line_online: ["上级平台在线", "Upstream online"],
  line_off: ["本机独立运行", "Works on its own"],

  desk_steps: ["步骤", "Steps"],
  desk_now: ["现在要做", "Do now"],
  desk_visit: ["本次", "This visit"],
  desk_no_visit: ["等待来人", "Nobody at the lane"],
  training: ["练习", "Training"],
  training_desk: ["练习通道：不放行，不计数，不打印", "A lane to practise on: it opens, counts and prints nothing"],
  today_open: ["今日", "Today"],
  today_title: ["本通道今日", "This lane today"],
  own_title: ["我本班 自{at}", "My shift since {at}"],
  own_visits: ["经手 {n}", "visits {n}"],
  own_overrides: ["改判 {n}：", "overrides {n}:"],
  own_second: ["会签 {n}", "signed as second {n}"],
  own_approved: ["批准 {n}", "approved {n}"],
  own_refused: ["不批准 {n}", "refused {n}"],
  today_find: ["查找：编号、时间、原因", "Find: number, time, reason"],
  today_count: ["{n} 条", "{n} verdicts"],
  today_more: ["（只显示最近 {n} 条）", "(the latest {n} alone are listed)"],
  hours_none: ["没有判定", "No verdicts"],
  hours_words: ["共 {n}，放行 {ok}，其他 {others}；最多 {at} 起一小时 {most}", "{n} in all, {ok} admitted, {others} not; most: {most} in the hour from {at}"],
  hours_others: ["未放行", "Not admitted"],
  desk_last: ["最近记录", "Last visits"],
  desk_no_last: ["还没有记录", "No visits yet"],
  desk_no_ask: ["无需操作", "Nothing to do"],
  desk_nobody: ["姓名未知", "Name unknown"],
  pass_verified: ["证件已验证", "Pass verified"],
  pass_unverified: ["证件未通过验证", "Pass not verified"],
  pass_number: ["登记号码（无签名）", "Registered number, not signed"],
  reading_normal: ["正常", "Normal"],
  reading_high: ["偏高", "High"],
  reading_low: ["偏低", "Low"],
  reading_fault: ["故障", "Fault"],
  facts_pass: ["证件记载", "On the pass"],
  facts_lane: ["现场记录", "At the lane"],
  fact_temperature: ["体温", "Temperature"],
  fact_seal: ["封条", "Seal"],
  overridden: ["人工改判", "Overridden"],
  original: ["原结论", "Original"],
  step_done: ["已完成", "done"],
  step_current: ["当前", "current"],
  step_todo: ["未到", "to do"],
  step_skipped: ["跳过", "skipped"],

  bar_recheck: ["复测体温", "Recheck"],
  bar_override: ["改判", "Override"],
  bar_enter: ["手工输入", "Type in"],
  bar_search: ["查姓名", "Find name"],
  bar_uses: ["解除等待", "Release"],
  bar_cancel: ["取消本次", "Cancel"],
  reprint: ["补打", "Reprint"],

  ask_try: ["第 {n} 次，共 {m} 次", "Try {n} of {m}"],
  ask_wait: ["{n} 秒后再测", "Measure again in {n} s"],
  ask_ready: ["可以测量", "Ready to measure"],
  ask_ok: ["确定", "OK"],
  ask_number: ["数字 {min} 至 {max}", "Number {min} to {max}"],
  ask_number_bad: ["请输入 {min} 至 {max} 之间的整数。", "Enter a whole number from {min} to {max}."],
  ask_empty: ["请先填写。", "Fill this in first."],
  ask_plate: ["车牌号", "Plate"],
  ask_plate_hint: ["先选省份，再输字母和数字", "Region first, then letters and digits"],
  ask_text: ["填写", "Answer"],
  approve_yes: ["批准", "Approve"],
  approve_no: ["不批准", "Refuse"],
  approve_no_sure: ["确认不批准", "Refuse: sure?"],
  approve_note: ["备注（可不填）", "Note (optional)"],
  seal_first: ["封条号（第一遍）", "Seal number (first time)"],
  seal_second: ["封条号（第二遍）", "Seal number (again)"],
  seal_match: ["两遍一致", "Both match"],
  seal_differ: ["两遍不一致", "They differ"],
  seal_again: ["请再输入或扫描一遍", "Type or scan it again"],
  seal_start: ["输入或扫描封条号", "Type or scan the number"],
  seal_door: ["位置", "Door"],
  seal_kind: ["类型", "Kind"],
  seal_ok: ["记录封条", "Record seal"],
  photo_live: ["相机实时画面", "What the camera sees"],
  photo_missing: ["未拍", "Not taken"],
  photo_taking: ["拍摄中…", "Taking…"],
  photo_review: ["待确认", "Look at it"],
  photo_retake: ["须重拍", "Take again"],
  photo_accepted: ["已确认", "Accepted"],
  photo_do_capture: ["拍照", "Take photo"],
  photo_do_accept: ["采用", "Accept"],
  photo_do_retake: ["重拍", "Retake"],
  photo_sharpness: ["清晰度", "Sharpness"],
  exposure_ok: ["曝光正常", "Exposure good"],
  exposure_dark: ["太暗", "Too dark"],
  exposure_bright: ["太亮", "Too bright"],
  confirm_ok: ["全部确认", "Confirm all"],
  confirm_left: ["还有 {n} 项未勾选", "{n} still to tick"],

  dialog_close: ["返回", "Back"],
  enter_title: ["手工输入证件号、车牌或条码", "Type an ID, a plate or a code"],
  enter_label: ["号码", "Number"],
  enter_plate_keys: ["车牌键盘", "Plate keys"],
  search_title: ["按姓名查找（忘带卡）", "Find by name (card forgotten)"],
  search_label: ["姓名", "Name"],
  search_ok: ["查找", "Search"],
  search_none: ["没有找到", "Nobody found"],
  uses_title: ["不再等待同站网关？", "Wait for the other gateways no longer?"],
  uses_text: ["本机为替换设备，尚不知哪些一次性证件、封条已用过，也不知其他闸口扫码列入核查的人员。解除后，用过的证可能再次放行，被核查人员可能通过，由主管负责并留痕。", "This box has taken the place of another and does not know yet which single-use passes and seals were used, nor whom the other gates hold by a code. Once released, a used pass may be admitted again and somebody on hold may go in; it is on record under your name."],
  uses_reason: ["理由", "Reason"],
  uses_need_reason: ["请填写理由", "Write a reason"],
  uses_ok: ["解除等待", "Release"],

  cancel_title: ["取消本次？", "Cancel this visit?"],
  cancel_text: ["来人已离开，本次记为取消。", "The person has left; the visit is recorded as cancelled."],
  cancel_ok: ["取消本次", "Cancel visit"],

  override_title: ["人工改判", "Override"],
  override_for: ["记录", "Visit"],
  override_outcome: ["改为", "Change to"],
  override_reason: ["理由", "Reason"],
  override_note: ["备注", "Note"],
  override_note_needed: ["备注（必填）", "Note (required)"],
  override_pin: ["您的密码", "Your PIN"],
  override_ok: ["签字改判", "Sign override"],
  override_second: ["主管会签", "Second signature"],
  override_second_none: ["没有其他主管可会签", "No other supervisor can sign"],
  override_second_pin: ["主管密码", "Supervisor's PIN"],
  override_need_outcome: ["请选择改判结果。", "Choose the new outcome."],
  override_need_reason: ["请选择理由。", "Choose a reason."],
  override_need_note: ["此理由须写备注。", "This reason needs a note."],
  override_need_pin: ["请输入您的密码。", "Enter your PIN."],
  override_need_second: ["请选择主管并输入其密码。", "Choose the supervisor and enter the supervisor's PIN."],

  // The desk and the public screen: what is repeated, not opened, not ready, decided otherwise.
  lane_repeat: ["已经登记过", "Already registered"],
  lane_repeat_hint: ["请询问工作人员", "Please ask the staff"],
  mode_repeat: ["重复扫码", "Scanned again"],
  repeat_title: ["重复扫码", "Scanned again"],
  repeat_first: ["{at} 已{outcome}", "{outcome} at {at}"],
  repeat_unmeasured: ["本次未测温", "not measured this time"],
  repeat_hint: ["可能是别人：请核对本人，本次道闸不开", "It may be somebody else: check who it is. The barrier stays shut"],
  barrier_failed: ["道闸未开", "The barrier did not open"],
  barrier_asked: ["正在再开一次…", "Asking the barrier again…"],
  barrier_again: ["再开一次", "Open again"],
  barrier_by_hand: ["已手动打开", "Opened by hand"],
  other_card: ["另一张卡已出示，未受理", "Another card was shown and not taken"],
  step_failed: ["失败", "failed"],
  lamps: ["设备与名单", "Devices and lists"],
  lamp_scanner: ["扫码", "Scanner"],
  lamp_thermometer: ["测温", "Thermometer"],
  lamp_relay: ["道闸", "Barrier"],
  lamp_camera: ["相机", "Camera"],
  lamp_printer: ["打印", "Printer"],
  lamp_signal: ["灯", "Lamps"],
  lamp_loop: ["地感", "Loop"],
  lamp_lists: ["名单", "Lists"],
  lamp_clock: ["时钟", "Clock"],
  lamp_ok: ["正常", "in order"],
  lamp_warn: ["注意", "look at it"],
  lamp_bad: ["不可用", "not there"],
  banner_devices: ["{names}未连接，通道不能正常放行", "Not connected: {names}. The lane cannot admit as it should"],
  banner_beside: ["{names}未连接", "Not connected: {names}"],
  banner_lists_old: ["名单过期（{age}）", "Lists out of date ({age})"],
  banner_lists_missing: ["缺少名单：{names}", "No list: {names}"],
  banner_clock: ["时钟未校准", "The clock is not set"],
  list_trust: ["密钥", "keys"],
  list_status: ["健康状态", "health status"],
  list_pass: ["通行证", "passes"],
  list_revocation: ["撤销", "revocations"],
  list_hold: ["核查", "holds"],
  list_roster: ["人员", "roster"],
  list_release: ["解除", "releases"],
  names_join: ["、", ", "],
  override_choose: ["改判哪一条记录？", "Which visit is overridden?"],
  override_none: ["没有可改判的记录", "No visit can be overridden"],
  override_by: ["改判", "Overridden"],
  override_second_by: ["会签 {name}", "second signature {name}"],
  earlier: ["先前", "Earlier"],
  detail_title: ["记录", "Visit"],
  compare_pass: ["证件上", "On the pass"],
  compare_lane: ["现场所见", "As seen"],
  plate_photo: ["车牌照片", "Photo of the plate"],
  photo_rejected: ["不合格的照片", "The photo that was refused"],
  seal_recorded: ["已记录的封条号", "The number on record"],
  seal_need_place: ["请选择位置和类型。", "Choose the door and the kind."],

  mode_idle: ["空闲", "Idle"],
  mode_working: ["进行中", "Working"],
  mode_verdict: ["出结论", "Verdict"],
  mode_closed: ["关闭", "Closed"],

  st_lost: ["网关连接不上，以下为旧数据", "Gateway not reachable; what follows is old"],
  st_gateway: ["网关", "Gateway"],
  st_version: ["版本", "Version"],
  st_uptime: ["运行时间", "Uptime"],
  st_clock: ["时钟", "Clock"],
  st_upstream: ["上级平台", "Upstream"],
  st_store: ["存储", "Store"],
  st_lanes: ["通道", "Lanes"],
  st_devices: ["设备", "Devices"],
  st_work: ["{n}/{all} 正常", "{n} of {all} work"],
  st_hours: ["近24小时判定", "Verdicts of the last 24 hours"],
  st_lists: ["名单", "Lists"],
  st_single: ["条来自二维码", "by code"],
  st_packs: ["规则包", "Packs"],
  st_pack_plain: ["无名规则", "profiles without a pack"],
  pack_in_use: ["使用中", "In use"],
  pack_waits: ["等候生效", "Waits"],
  pack_from: ["{at} 起新来的按它办理，进行中的按原规则办完", "New visits use it from {at}; open ones finish on theirs"],
  pack_clock: ["时间已到，等待校准时钟", "its time is here: it waits for a confirmed clock"],
  pack_signed: ["签发 {name}", "signed by {name}"],
  pack_same: ["内容与使用中的相同", "changes nothing here"],
  pack_new: ["新增", "New"],
  pack_changed: ["更改", "Changes"],
  pack_gone: ["停用", "Goes"],
  pack_more: ["另有 {n} 项", "{n} more"],
  pack_lanes: ["通道 {names}", "lanes {names}"],
  pack_no_lane: ["本机没有通道用它", "no lane here runs by it"],
  st_outbox: ["待发队列", "Outbox"],
  st_counters: ["计数", "Counters"],
  st_none: ["无", "None"],
  st_used: ["已用", "used"],
  st_free: ["可用", "free"],
  st_events: ["事件", "events"],
  st_photos: ["照片", "photos"],
  the_central_side: ["上级平台", "the central side"],
  uses_since: ["上级平台自 {at} 起才有本机记录，之前用过的证不全", "the central side knows this gateway only since {at}, and not all that was used before"],
  uses_never: ["上级平台没有本机的任何记录", "the central side has never heard this gateway"],
  st_uses: ["单次通行证", "Single-use passes"],
  st_uses_held: ["收齐用证记录之前，单次通行证一律等候；主管可在工作台放行", "until it is told which were used, single-use passes are held; a supervisor releases at the desk"],
  st_since: ["持续", "for"],
  st_epoch: ["纪元", "epoch"],
  col_name: ["名称", "Name"],
  col_state: ["状态", "State"],
  col_lane: ["通道", "Lane"],
  col_step: ["步骤", "Step"],
  col_driver: ["驱动", "Driver"],
  col_latency: ["应答", "Answer"],
  col_firmware: ["型号", "Model"],
  col_port: ["端口", "Port"],
  col_since: ["持续", "For"],
  col_seen: ["上次数据", "Last data"],
  col_errors: ["错误", "Errors"],
  col_detail: ["说明", "Detail"],
  col_version: ["版本", "Version"],
  col_entries: ["条目", "Entries"],
  col_age: ["时效", "Age"],
  col_class: ["类别", "Class"],
  col_unpublished: ["未发送", "Unsent"],
  col_unreceipted: ["未回执", "No receipt"],
  col_oldest: ["最早", "Oldest"],
  col_count: ["次数", "Count"],
  state_ready: ["正常", "Ready"],
  state_opening: ["打开中", "Opening"],
  state_absent: ["未连接", "Absent"],
  state_fault: ["故障", "Fault"],
  state_online: ["在线", "Online"],
  state_offline: ["离线，稍后补传", "Offline, will send later"],
  state_off: ["未启用", "Off"],
  state_ok: ["正常", "OK"],
  state_full: ["已满", "Full"],
  state_fresh: ["有效", "In date"],
  state_stale: ["过期", "Out of date"],
  state_missing: ["没有", "Missing"],
  state_damaged: ["已损坏", "Damaged"],
  state_synced: ["已校时", "Synchronised"],
  state_unsynced: ["未校时", "Not synchronised"],
  state_floor: ["时钟过早", "Clock is behind"],
  state_empty: ["已清空", "Empty"],
  state_waits_for: ["等待同站网关", "Waits for its neighbours"],
  state_waiting: ["待发送", "Waiting"],

  demo_none: ["此网关不在演示模式。", "This gateway does not run as a demo."],
  demo_cards: ["卡片：点一下，模拟扫描器就读到它", "Cards: one click and the simulated scanner reads it"],
  demo_no_cards: ["此通道不出示证件：在工作台用 F8 开始", "Nobody shows a card here: begin at the desk with F8"],
  demo_more: ["更多通道", "More lanes"],
  demo_switching: ["网关正带着所选通道重新启动…", "The gateway starts anew with these lanes…"],
  demo_not_switched: ["网关没有带着所选通道启动。请刷新页面。", "The gateway did not come back with these lanes. Load the page anew."],
  demo_open_console: ["值守台", "Duty console"],
  demo_weight: ["秤上重量", "On the scale"],
  demo_present: ["再次出示", "Present again"],
  demo_temperature: ["下次测温", "Next temperature"],
  demo_camera: ["镜头", "Camera"],
  demo_network: ["上级网络", "Upstream network"],
  demo_up: ["连通（点击断开）", "Up (click to cut)"],
  demo_down: ["已断开（点击恢复）", "Cut (click to restore)"],
  demo_officers: ["演示人员与密码", "Demo officers and PINs"],
  demo_open_lane: ["打开通道屏", "Open lane screen"],
  demo_open_desk: ["打开工作台", "Open desk"],
  demo_sent: ["已出示：{n}", "Presented: {n}"],
  camera_good: ["清楚", "Good"],
  camera_dark: ["太暗", "Dark"],
  camera_blurred: ["模糊", "Blurred"],

  // Staff and accessibility.
  or: ["或", " or "],
  sending: ["已按下，网关还没有应答…", "Pressed; the gateway has not answered yet…"],
  desk_side: ["本次与最近记录", "This visit and the last ones"],
  no_lane: ["没有通道 {lane}", "There is no lane {lane}"],
  no_lane_public: ["请工作人员检查此屏的地址", "Staff: check the address of this screen"],
  sound_test: ["试音", "Test sound"],
  index_setup: ["设置通道屏：语言、明暗、试音", "Set up the lane screen: language, light, sound"],
  no_lane_do: ["地址写错了，或网关的配置已改。请到首页选择通道。", "The address is wrong, or the gateway's configuration has changed. Choose the lane on the first page."],
  signin_nobody: ["这台网关没有值守人员，谁也不能登录。", "This gateway has no officers: nobody can sign in."],
  signin_nobody_do: ["请管理员在配置文件中为每人写一段 [[officer]]，密码用下面的命令生成，然后重启网关：", "Ask the administrator to write an [[officer]] for each person into the configuration, with a PIN made by this command, and to restart the gateway:"],
  pin_of: ["{name}的密码不对", "Wrong PIN of {name}"],
  pin_tries_left: ["还剩 {n} 次", "{n} tries left"],
  pin_wait: ["错误次数过多，请等待", "Too many wrong PINs: wait"],
  answered_by: ["上一项由 {name} 处理", "{name} answered the one before"],
  approve_wait: ["等{roles}：选择姓名 + 密码", "Wait for {roles}: choose the name, type the PIN"],
  approve_nobody: ["没有可以审批的人员", "Nobody here may approve"],
  slip_asked: ["小票已送打印机，未确认", "Slip sent to the printer, not confirmed"],
  slip_done: ["小票已打印", "Slip printed"],
  slip_failed: ["小票未打印：查看打印机，再按补打", "Slip not printed: look at the printer, then reprint"],
  search_more: ["只显示前 {n} 人，请多输几个字。", "Only the first {n} are shown: type more."],
  search_hint: ["姓名的一部分或拼音：zhls", "Part of the name, or pinyin: zhls"],
  help_title: ["各种原因与处理", "Reasons, and what to do"],
  help_second: ["✍ 改判须主管会签", "✍ an override needs the supervisor's signature"],
  letter_keys: ["字母键", "Letter keys"],
  lock_title: ["解锁工作台", "Unlock the desk"],
  lock_is: ["工作台已锁定（{name}）", "Desk locked ({name})"],
  lock_open: ["解锁", "Unlock"],
  lock_other: ["换人登录", "Someone else signs in"],
};

const listeners = new Set();
let current = firstLang();

function firstLang() {
  const asked = new URLSearchParams(location.search).get("lang");
  if (LANGS.includes(asked)) {
    localStorage.setItem(LANG_KEY, asked);
    return asked;
  }
  const stored = localStorage.getItem(LANG_KEY);
  return LANGS.includes(stored) ? stored : "zh";
}

// A change in one window also reaches the others, and the previews inside the demo page.
addEventListener("storage", (event) => {
  if (event.key === LANG_KEY && LANGS.includes(event.newValue)) change(event.newValue);
});

export function lang() {
  return current;
}

export function otherLang() {
  return current === "zh" ? "en" : "zh";
}

export function setLang(wanted) {
  localStorage.setItem(LANG_KEY, wanted);
  change(wanted);
}

export function onLang(listener) {
  listeners.add(listener);
}

function change(wanted) {
  if (wanted === current) return;
  current = wanted;
  for (const listener of listeners) listener();
}

/** The value of the `lang` attribute for a language. */
export function langTag(which) {
  return which === "zh" ? "zh-CN" : "en";
}

/** A string of the table as a Text. */
export function text(key) {
  const pair = STRINGS[key];
  return pair ? { zh: pair[0], en: pair[1] } : { zh: key, en: key };
}

/** The same with `{name}` replaced from `values`. */
export function textOf(key, values) {
  const put = (words) => Object.entries(values).reduce((all, [name, value]) => all.replaceAll(`{${name}}`, value), words);
  const words = text(key);
  return { zh: put(words.zh), en: put(words.en) };
}

/** A string of the table in the chosen language; `{name}` is replaced from `values`. */
export function t(key, values = {}) {
  let words = text(key)[current];
  for (const [name, value] of Object.entries(values)) words = words.replaceAll(`{${name}}`, value);
  return words;
}

export function whoTells(names, between = ", ") {
  return names.map((name) => (name === "central" ? t("the_central_side") : name)).join(between);
}

export function has(key) {
  return key in STRINGS;
}

/** A Text in the chosen language; the other language stands in for a missing one. */
export function pick(words) {
  return words?.[current] || words?.[otherLang()] || "";
}

/** A Text in the language that was not chosen. */
export function pickOther(words) {
  return words?.[otherLang()] || "";
}
